"""Named sets of images, and the way from an image to a batch; may import `runtime`."""
