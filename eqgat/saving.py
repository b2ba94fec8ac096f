"""A model in a folder: its configuration and its weights, each with a checksum; nothing is unpickled but tensors."""

from __future__ import annotations

import io
import json
import os
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import nn

from eqgat.config import EQGATConfig, Readout
from eqgat.errors import UserError
from eqgat.files import read_checked, write_checked

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["SavedModel", "seeded"]

Model = TypeVar("Model", bound=nn.Module)

FORMAT = 1  # of saved models; raised when a change makes older files unreadable
CONFIG, WEIGHTS = "config.json", "weights.pt"
SETTINGS = "settings.json"  # of the run that made the model; training writes it beside the weights


@contextmanager
def of_this_version(folder: str | os.PathLike[str]) -> Iterator[None]:
    """For what is made of files in ``folder`` that are whole, as their checksums say: what fails has one reason.

    >>> with of_this_version("model"):
    ...     EQGATConfig(colour="red")
    Traceback (most recent call last):
    eqgat.errors.UserError: model was written by another version of this package (...'colour'...); train again
    """
    try:
        yield
    except Exception as error:  # PyTorch has many ways to say that weights do not fit
        raise UserError(
            f"{folder} was written by another version of this package ({_reason(error)}); train again"
        ) from error


def _reason(error: Exception) -> str:
    """What an error says, or its kind where it says nothing, or advises to trust the file, as that of a pickle does."""
    return type(error).__name__ if isinstance(error, pickle.UnpicklingError) else str(error) or type(error).__name__


class SavedModel(nn.Module):
    """What lets a model with a ``config`` and a ``head`` be saved and read.

    Attributes:
        fresh_parameters: names of the parameters that ``from_pretrained`` started anew instead of reading them.
    """

    config: EQGATConfig
    head: nn.Sequential
    fresh_parameters: tuple[str, ...] = ()

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write ``config.json`` and ``weights.pt``, each with its checksum; each appears whole or not at all.

        Raises:
            OSError: the folder cannot be written.

        >>> import tempfile
        >>> from eqgat import EQGAT
        >>> folder = Path(tempfile.mkdtemp())
        >>> EQGAT(num_elements=9, out_channels=1).save_pretrained(folder)
        >>> sorted(file.name for file in folder.iterdir())
        ['config.json', 'config.json.sha256', 'weights.pt', 'weights.pt.sha256']
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        weights = io.BytesIO()
        torch.save(self.state_dict(), weights)
        config = json.dumps({"format": FORMAT, "model": type(self).__name__, **asdict(self.config)}, indent=2)
        write_checked(folder / WEIGHTS, weights.getvalue())
        write_checked(folder / CONFIG, f"{config}\n".encode())

    @classmethod
    def from_pretrained(
        cls, folder: str | os.PathLike[str], *, out_channels: int | None = None, readout: Readout | None = None
    ) -> Self:
        """A model that ``save_pretrained`` wrote, on the CPU. Another number of targets or readout gets a new head.

        Args:
            folder: what ``save_pretrained`` was given.
            out_channels, readout: None for what was saved.

        Returns:
            The model; its ``fresh_parameters`` names the parameters that are not from the file.

        Raises:
            FileNotFoundError: the folder or one of its files is missing.
            UserError: damaged files, those of another model or version, or weights that do not fit the configuration.

        >>> import tempfile
        >>> from eqgat import EQGAT
        >>> folder = tempfile.mkdtemp()
        >>> EQGAT(num_elements=9, out_channels=1).save_pretrained(folder)
        >>> EQGAT.from_pretrained(folder, out_channels=3).fresh_parameters
        ('head.0.weight', 'head.0.bias', 'head.2.weight', 'head.2.bias')
        """
        folder = Path(folder)
        for name in (CONFIG, WEIGHTS):
            if not (folder / name).is_file():
                raise FileNotFoundError(f"no {name} in {folder}; give the folder that save_pretrained wrote")
        saved = _read_config(folder, cls.__name__)
        config = saved if out_channels is None else replace(saved, out_channels=out_channels)
        config = config if readout is None else replace(config, readout=readout)
        weights = read_checked(folder / WEIGHTS)
        try:
            model = cls(config)
            state = torch.load(io.BytesIO(weights), map_location="cpu", weights_only=True)
            if config != saved:
                fresh = {f"head.{name}": value for name, value in model.head.state_dict().items()}
                state, model.fresh_parameters = {**state, **fresh}, tuple(fresh)
            model.load_state_dict(state)
        except Exception as error:
            raise UserError(f"the weights in {folder} do not fit its configuration: {_reason(error)}") from error
        return model


def seeded(kind: Callable[..., Model], seed: int, **options: Any) -> Model:
    """A model whose initial weights depend on the seed alone; the state of the random numbers is left as it was.

    >>> from eqgat import EQGAT
    >>> a, b = (seeded(EQGAT, 3, num_elements=2, out_channels=1) for _ in range(2))
    >>> bool((a.embedding.weight == b.embedding.weight).all())
    True
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return kind(**options)


def _read_config(folder: Path, model: str) -> EQGATConfig:
    text = read_checked(folder / CONFIG)
    try:
        content: Any = json.loads(text)
    except ValueError as error:
        raise UserError(f"{folder / CONFIG} is not JSON: {error}") from error
    if not isinstance(content, dict) or content.get("model") != model or content.get("format") != FORMAT:
        raise UserError(
            f"{folder} does not hold an {model} model of format {FORMAT}; "
            "save it again with save_pretrained of this version"
        )
    try:
        return EQGATConfig(**{name: value for name, value in content.items() if name not in ("format", "model")})
    except (TypeError, ValueError) as error:
        raise UserError(f"{folder / CONFIG} is not of this version: {error}") from error
