"""The torch modules that come with the package: their sizes, and that Hamiltonians can take every weight."""

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'annealtrain[torch]'")

from annealtrain.errors import InputError  # noqa: E402
from annealtrain.nn.torch_models import ResNet8, VGGAirbench, VGGSmall, ViTTiny  # noqa: E402
from annealtrain.nn.torch_module import TorchModule  # noqa: E402

SIZES = {ResNet8: (78_042, 12.6e6), VGGAirbench: (656_770, 40e6), VGGSmall: (914_882, 40e6), ViTTiny: (137_802, 8.6e6)}


@pytest.mark.parametrize("kind", SIZES)
def test_weights_and_multiply_adds_for_an_image_of_cifar(kind: type) -> None:
    module, found = kind().eval(), [0]
    for part in module.modules():
        if isinstance(part, torch.nn.Conv2d | torch.nn.Linear):
            part.register_forward_hook(
                lambda part, _, out: found.append(out.numel() // len(part.weight) * part.weight.numel())
            )
    with torch.no_grad():
        assert module(torch.zeros(1, 3, 32, 32)).shape == (1, 10)
    weights, most = SIZES[kind]
    assert sum(parameter.numel() for parameter in module.parameters()) == weights
    assert 0.9 * most < sum(found) <= most


@pytest.mark.parametrize("kind", SIZES)
def test_without_scales_of_norms_no_weight_is_left_over(kind: type) -> None:
    more = {"image_size": [16, 16]} if kind is ViTTiny else {}
    whole = TorchModule(kind(3, 1, affine=False, **more), (1, 16, 16))
    assert not whole.rest
    assert whole.classes == 3
    assert TorchModule(kind(3, 1, **more), (1, 16, 16)).rest


def test_sizes_that_do_not_fit() -> None:
    with pytest.raises(InputError, match=r"^model.patch=3 does not divide images of 8x8: "):
        ViTTiny(image_size=[8, 8], patch=3)
    with pytest.raises(InputError, match=r"model.width=20 is not a multiple of 4 and of model.heads=3"):
        ViTTiny(width=20, heads=3)
    with pytest.raises(InputError, match=r"^model.affine=1 is not one of true, false"):
        ResNet8(affine=1)
