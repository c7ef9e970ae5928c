"""Claims about splits from arrays, tensors and PyTorch data sets."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset, IterableDataset, TensorDataset

from limbeck.errors import BadInput
from limbeck.modalities.image.arrays import from_arrays


def grey(count=80, seed=0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 6, 5), dtype=np.uint8)


def colour(count=80, seed=0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 6, 5, 3), dtype=np.uint8)


def alternate(count=80) -> np.ndarray:
    return np.arange(count) % 2


class Listed(Dataset):
    def __init__(self, items, classes=None):
        self.items = items
        if classes:
            self.classes = classes

    def __len__(self):
        return len(self.items)

    def __getitem__(self, row):
        return self.items[row]


def all_content(splits) -> set[int]:
    ids = [splits.train.ids, splits.validation.ids, splits.test.open("figures").ids]
    return set(torch.cat(ids).tolist())


LAYOUTS = {
    "NHWC array": colour(),
    "NCHW array": colour().transpose(0, 3, 1, 2),
    "NCHW tensor": torch.from_numpy(colour()).permute(0, 3, 1, 2),
    "NHWC tensor": torch.from_numpy(colour()),
    "wider integers": colour().astype(np.int32),
    "foreign byte order": colour().astype(">i2"),
    "negative strides": colour()[::-1][::-1],
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_of_the_same_pictures_is_the_same_data(layout):
    reference = from_arrays((colour(), alternate()))
    splits = from_arrays((LAYOUTS[layout], torch.from_numpy(alternate())))
    assert splits.train.images.shape[1:] == (3, 6, 5)
    assert splits.fingerprint == reference.fingerprint


ITEMS = {
    "PIL": [(Image.fromarray(image), int(label)) for image, label in zip(colour(), alternate())],
    "array": [(image, label) for image, label in zip(colour(), alternate())],
    "tensor": [(torch.from_numpy(i).permute(2, 0, 1), torch.tensor(n)) for i, n in zip(colour(), alternate())],
    "mapping": [{"image": image, "label": label} for image, label in zip(colour(), alternate())],
}


@pytest.mark.parametrize("items", ITEMS)
def test_a_data_set_of_any_kind_of_image_is_the_same_data(items):
    assert from_arrays(Listed(ITEMS[items])).fingerprint == from_arrays((colour(), alternate())).fingerprint


def test_grey_floats_stay_floats_and_have_their_own_statistics():
    images = (grey() / 255).astype(np.float64)
    splits = from_arrays(TensorDataset(torch.from_numpy(images).float(), torch.from_numpy(alternate())))
    assert splits.train.images.dtype == torch.float32
    assert splits.train.images.shape[1:] == (1, 6, 5)
    assert splits.mean[0] == pytest.approx(float(splits.train.images.mean()), abs=2e-6)
    assert splits.std[0] == pytest.approx(float(splits.train.images.std(correction=0)), abs=2e-6)
    assert splits.fingerprint == from_arrays((images, alternate())).fingerprint


def test_what_is_given_is_used_and_what_is_not_is_carved():
    train, validation, test = ((grey(80, seed), alternate()) for seed in range(3))
    given = from_arrays(train, validation, test)
    assert (len(given.train), len(given.validation), given.test.count) == (80, 80, 80)
    assert torch.equal(given.test.open("figures").images[:, 0], torch.from_numpy(test[0]))
    carved = from_arrays(train)
    assert len(all_content(carved)) == 80
    wider = from_arrays(train, validation_fraction=0.4)
    assert set(carved.validation.ids.tolist()) <= set(wider.validation.ids.tolist()) | set(
        wider.test.open("figures").ids.tolist()
    )


def test_the_caller_s_array_is_not_the_splits_own():
    images = grey()
    splits = from_arrays((images, alternate()))
    before = splits.train.images.clone()
    images[:] = 0
    assert torch.equal(splits.train.images, before)


def test_class_names_come_from_the_call_the_data_set_or_the_numbers():
    train = (grey(), alternate())
    assert from_arrays(train).classes == ("0", "1")
    assert from_arrays(train, classes=["cat", "dog"]).classes == ("cat", "dog")
    listed = Listed(list(zip(grey(), alternate())), ["cat", "dog"])
    assert from_arrays(listed).classes == ("cat", "dog")
    assert from_arrays(listed, classes=["a", "b"]).classes == ("a", "b")


@pytest.mark.parametrize(
    "transfer",
    [
        grey(50, 7),
        (grey(50, 7), None),
        Listed(list(grey(50, 7))),
        Listed([(image, "?") for image in grey(50, 7)]),
    ],
)
def test_a_transfer_set_needs_no_labels(transfer):
    splits = from_arrays((grey(), alternate()), transfer=transfer)
    assert splits.transfer.labels is None
    assert len(splits.transfer) == 50


def test_the_test_data_set_is_read_when_opened_and_once():
    class Watched(Listed):
        reads = 0

        def __getitem__(self, row):
            self.reads += 1
            return super().__getitem__(row)

    watched = Watched(list(zip(grey(9, 5), alternate(9))))
    splits = from_arrays((grey(), alternate()), test=watched)
    assert (watched.reads, splits.test.count) == (0, 9)
    assert len(splits.test.open("figures")) == 9
    assert watched.reads >= 9
    with pytest.raises(RuntimeError, match="already opened"):
        splits.test.open("figures")


# Bad input


def refused(pattern: str, *given, **options) -> None:
    with pytest.raises(BadInput, match=pattern) as caught:
        from_arrays(*given, **options)
    assert str(caught.value).endswith(".")


def test_normalised_images_are_refused():
    normalised = (grey() / 255 - 0.3) / 0.2
    refused(r"images of train run from -1\.5 to 3\.5: .*Give raw images", (normalised, alternate()))
    items = list(zip(torch.from_numpy(normalised), alternate()))
    refused(r"split 'train', row 0: .*Give raw images", Listed(items))
    refused("run from 0 to 255: floats must lie in 0 to 1", (grey().astype(np.float32), alternate()))


def test_pixels_out_of_range_or_not_numbers():
    refused("integers must lie in 0 to 255", (grey().astype(np.int64) - 3, alternate()))
    refused("NaN or infinity", (np.full((80, 6, 5), np.nan), alternate()))
    refused("are complex128", (grey().astype(complex), alternate()))


def test_shapes_that_are_no_images():
    refused(r"shape \(80, 30\): it must be \(N, H, W\)", (grey().reshape(80, 30), alternate()))
    refused(r"shape \(80, 6, 5, 4\): one grey or three", (np.zeros((80, 6, 5, 4), np.uint8), alternate()))
    refused("images of train are of type list", (grey().tolist(), alternate()))
    refused("train is of type str: it must be", "digits")
    refused("split 'train' is empty", (grey(0), alternate(0)))
    refused("split 'train' is empty", Listed([]))


def test_labels_that_are_no_class_numbers():
    refused("train has 80 images and 79 labels", (grey(), alternate(79)))
    refused("labels of train are float64", (grey(), alternate().astype(float)))
    refused(r"labels of train are int64 of shape \(80, 2\)", (grey(), np.eye(2, dtype=int)[alternate()]))
    refused(r"'train', row 0 \(counted from 0\): label -1 is out of range", (grey(), alternate() - 1))
    refused(
        r"'train', row 2 \(counted from 0\): label 2 .*with 2 classes", (grey(), np.arange(80) % 3), classes=["a", "b"]
    )
    refused("every example is of class '1'", (grey(), np.ones(80, int)))
    refused("'train', row 0: the label is 'cat'", Listed([(image, "cat") for image in grey()]))
    refused("'train', row 0: the label is None", Listed(list(grey())))
    validation = (grey(8, 3), alternate(8) + 1)
    refused(r"'validation', row 1 \(counted from 0\): label 2 is out of range", (grey(), alternate()), validation)


def test_a_data_set_with_random_transforms_is_refused():
    draw = np.random.default_rng(0)

    class Flipping(Listed):
        def __getitem__(self, row):
            image, label = super().__getitem__(row)
            return (image[:, ::-1] if draw.random() < 0.5 else image), label

    refused(
        "train gives another image each time row .*random transforms off.*views",
        Flipping(list(zip(grey(), alternate()))),
    )


def test_a_data_set_without_index_or_of_mixed_items_is_refused():
    class Stream(IterableDataset):
        def __iter__(self):
            return iter(())

    refused("train is an IterableDataset", Stream())
    items = [*zip(grey(79), alternate(79)), (np.zeros((9, 9), np.uint8), 1)]
    refused(r"row 79 is 9x9 with 1 channel in uint8, while row 0 is 5x6", Listed(items))
    refused("row 0: the image is of type str", Listed([("a.png", 0)] * 3))


def test_splits_of_other_shape_or_type_are_refused():
    train = (grey(), alternate())
    refused(
        "of validation are 5x6 with 3 channels in uint8 and those of",
        train,
        (colour(), alternate()),
    )
    refused("images of transfer are .* in float32", train, transfer=grey(9, 4) / 255)


def test_one_object_cannot_be_two_splits():
    train, other = (grey(), alternate()), (grey(80, 1), alternate())
    refused("validation is the training data itself", train, train)
    refused("test is the training data itself", train, None, train)
    refused("validation is the test data itself, which cannot be used for selection", train, other, other)


@pytest.mark.parametrize("fraction", [0, 1, -0.1])
def test_a_share_must_be_one(fraction):
    refused("validation_fraction is", (grey(), alternate()), validation_fraction=fraction)
