"""Read what the XML header of ISMRMRD and fastMRI says of the encoding, and write such a header."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as xml

from ...core.errors import MetaoptError

LIMITS = ("kspace_encoding_step_1", "kspace_encoding_step_2")


@dataclass(frozen=True)
class Encoding:
    """Hold one encoding of a scan; triples are along readout, phase encoding and slice encoding.

    Args:
        matrix: Points of k-space.
        field_of_view: What was encoded, in millimetres.
        picture_matrix: Pixels of the scanner's own picture.
        picture_field_of_view: What belongs to the picture, in millimetres.
        centres: The line of frequency 0 in the counters of the two encoding steps, or None where it is not said.
        trajectory: cartesian, epi, radial, spiral, goldenangle or other.
        calibration: embedded, interleaved, separate, external or other; the empty string where it is not said.
        channels: Number of coils, or None where it is not said.
    """

    matrix: tuple[int, int, int]
    field_of_view: tuple[float, float, float]
    picture_matrix: tuple[int, int, int]
    picture_field_of_view: tuple[float, float, float]
    centres: tuple[int | None, int | None]
    trajectory: str
    calibration: str
    channels: int | None


def read_header(text: bytes | str) -> list[Encoding]:
    """Read an ISMRMRD header, by the names of its elements, so that one with unknown elements is read too.

    Args:
        text: The XML.

    Returns:
        The encodings.

    Raises:
        MetaoptError: It is no such header, or lacks a size.

    Source:
        https://github.com/ismrmrd/ismrmrd/blob/master/schema/ismrmrd.xsd
    """
    try:
        root = xml.fromstring(text)
    except (xml.ParseError, ValueError) as error:
        raise MetaoptError(f"has a damaged XML header ({error}); copy the file again.") from error
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    encodings = [_encoding(element, root) for element in root.iter("encoding")]
    if not encodings:
        raise MetaoptError("has an XML header without an encoding, so nobody knows the size of its pictures.")
    return encodings


def _encoding(element: xml.Element, root: xml.Element) -> Encoding:
    channels = _text(root, "acquisitionSystemInformation/receiverChannels")
    centres = [_text(element, f"encodingLimits/{limit}/center") for limit in LIMITS]
    return Encoding(
        _matrix(element, "encodedSpace/matrixSize"),
        _triple(element, "encodedSpace/fieldOfView_mm"),
        _matrix(element, "reconSpace/matrixSize"),
        _triple(element, "reconSpace/fieldOfView_mm"),
        (_whole(centres[0]), _whole(centres[1])),
        _text(element, "trajectory").lower() or "cartesian",
        _text(element, "parallelImaging/calibrationMode").lower(),
        _whole(channels),
    )


def _matrix(element: xml.Element, path: str) -> tuple[int, int, int]:
    x, y, z = (max(1, round(size)) for size in _triple(element, path))
    return x, y, z


def _triple(element: xml.Element, path: str) -> tuple[float, float, float]:
    x, y, z = (_number(_text(element, f"{path}/{axis}"), f"{path}/{axis}") for axis in "xyz")
    return x, y, z


def _number(text: str, name: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < 1e6:
        raise MetaoptError(f"has an XML header whose {name} is {text[:40]!r}, but has to be a number above 0.")
    return value


def _text(element: xml.Element, path: str) -> str:
    return (element.findtext(path) or "").strip()


def _whole(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def write_header(matrix: Sequence[int], field_of_view: Sequence[float], coils: int) -> str:
    """Return the header of fully encoded k-space, of which all is the picture.

    Args:
        matrix: Points along readout, phase encoding and slice encoding.
        field_of_view: Millimetres along these.
        coils: Number of coils.

    Returns:
        The XML. The frequency of hydrogen is 0, since simulated k-space has none and the format asks for one.
    """
    sizes = "".join(f"<{a}>{n}</{a}>" for a, n in zip("xyz", matrix, strict=True))
    extents = "".join(f"<{a}>{n:.6f}</{a}>" for a, n in zip("xyz", field_of_view, strict=True))
    space = f"<matrixSize>{sizes}</matrixSize><fieldOfView_mm>{extents}</fieldOfView_mm>"
    limits = "".join(
        f"<{limit}><minimum>0</minimum><maximum>{n - 1}</maximum><center>{n // 2}</center></{limit}>"
        for limit, n in zip(LIMITS, matrix[1:], strict=True)
    )
    return (
        '<?xml version="1.0"?>\n<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD"><acquisitionSystemInformation>'
        f"<receiverChannels>{coils}</receiverChannels></acquisitionSystemInformation><experimentalConditions>"
        "<H1resonanceFrequency_Hz>0</H1resonanceFrequency_Hz></experimentalConditions><encoding>"
        f"<encodedSpace>{space}</encodedSpace><reconSpace>{space}</reconSpace>"
        f"<encodingLimits>{limits}</encodingLimits><trajectory>cartesian</trajectory></encoding></ismrmrdHeader>\n"
    )
