"""The rules for one request's parameters: types, ranges, what the model takes, what does not go together.

Pure functions from parameters and model to complaints; `check` calls them once per set of parameters. An unknown
model or field is a warning, since providers add both every few weeks; whatever is known to be refused is an error.
"""

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

from jobs.catalogue.matrix import AUTO, FieldRule, Model, matrix, nearest_word, parse_size
from jobs.manifest.rows import Complaint, error, warning

Params = Mapping[str, Any]

_TYPES = {"string": str, "integer": int, "boolean": bool, "object": dict}
_TYPE_WORDS = {"string": "text", "integer": "a whole number", "boolean": "true or false", "object": "an object"}
_GIF_FRAMES = 9


def field_complaints(params: Params, model: Model | None) -> Iterator[Complaint]:
    """Each field by itself."""
    rules = matrix().fields
    for field, value in params.items():
        rule = rules.get(field)
        if rule is None:
            yield _unknown_field(field, value)
        elif not _has_type(value, rule):
            wanted = _TYPE_WORDS[rule.type]
            yield error("wrong_type", f"{field} must be {wanted}", f"write {wanted}", field=field, value=value)
        elif model is not None:
            yield from _known_field(rule, value, model)
        elif (fault := _range_fault(rule, value, rule.maximum)) is not None:
            yield fault


def cross_complaints(params: Params, model: Model) -> Iterator[Complaint]:
    """Fields that the endpoint refuses together."""
    output_format = params.get("output_format", "png")
    yield from _format_rules(params, output_format)
    if output_format != "gif":
        yield from _only_with(params, ("frame_count", "frame_duration_ms"), "output_format gif")
    if output_format != "svg":
        yield from _only_with(params, ("svg",), "output_format svg")
    if output_format in ("gif", "svg"):
        yield from _no_stream(params, output_format)
    elif _positive(params.get("partial_images")) and params.get("stream") is not True:
        message = "partial_images needs stream: true"
        value = params["partial_images"]
        yield error("partials_without_stream", message, "set stream, or 0", field="partial_images", value=value)
    if output_format == "svg" and _positive(params.get("n"), over=1):
        yield error("bad_value", "svg answers one image per call", "set n to 1", field="n", value=params["n"])
    yield from _size_rules(params, model, output_format)


def model_complaints(model: Model, day: date) -> Iterator[Complaint]:
    """What the model's dates say."""
    if model.retired_on(day):
        message = f"{model.id} was shut down on {model.shutdown_date}; some gateways still serve it"
        next_step = "use a live model, or an endpoint that has it"
        yield warning("model_retired", message, next_step, field="model", value=model.id)
    elif model.shutdown_date is not None:
        message = f"{model.id} shuts down on {model.shutdown_date}"
        yield warning("model_shutdown", message, "finish before, or use another", field="model", value=model.id)


def open_price_complaints(params: Params, model: Model) -> Iterator[Complaint]:
    """Size or quality left to a model that is paid by tokens: the estimate is a range."""
    for field, choices in (("quality", model.qualities), ("size", (model.default_size,))):
        if model.returns_usage and AUTO in choices and params.get(field, AUTO) == AUTO:
            message = f"{field} is left to {model.id}, so the price is a range and the ceiling its top"
            yield warning(f"auto_{field}", message, f"set {field} for an exact price", field=field, value=AUTO)


def _unknown_field(field: str, value: object) -> Complaint:
    near = nearest_word(field, matrix().fields)
    hint = f"did you mean {near}?" if near else "check the spelling"
    return warning(
        "unknown_field", f"{field!r} is not a known field; it is sent as it is", hint, field=field, value=value
    )


def _has_type(value: object, rule: FieldRule) -> bool:
    """Booleans are not integers here."""
    wanted = _TYPES[rule.type]
    return isinstance(value, wanted) and (wanted is bool or not isinstance(value, bool))


def _known_field(rule: FieldRule, value: Any, model: Model) -> Iterator[Complaint]:
    field, choices = rule.name, _choices(rule, model)
    if field not in model.accepts and model.doubt(field, None) is None:
        takers = [known.id for known in matrix().models.values() if field in known.accepts]
        message = f"{model.id} does not take {field}"
        next_step = f"remove it; {', '.join(takers[:3])} take it" if takers else "remove it"
        yield error("not_accepted", message, next_step, field=field, value=value)
        return
    if (fault := _range_fault(rule, value, _maximum(rule, model))) is not None:
        yield fault
    doubt = model.doubt(field, value if choices else None)
    if choices and value not in choices:
        near = nearest_word(value, choices)
        message = f"{field} {value!r} is not one of {', '.join(choices)}"
        next_step = f"did you mean {near}?" if near else "use one of these"
        yield error("bad_value", message, next_step, field=field, value=value)
    elif doubt is not None:
        yield warning("unconfirmed", f"{model.id}: {doubt}", "try one row first", field=field, value=value)
    if rule.keys and (strange := set(value) - set(rule.keys)):
        message = f"{field} has unknown keys: {', '.join(sorted(strange))}"
        yield warning("unknown_field", message, f"known are {', '.join(rule.keys)}", field=field)


def _maximum(rule: FieldRule, model: Model) -> int | None:
    return model.n_max if rule.name == "n" else rule.maximum


def _range_fault(rule: FieldRule, value: Any, maximum: int | None) -> Complaint | None:
    if rule.type != "integer":
        return None
    minimum = rule.minimum or 0
    if minimum <= value and (maximum is None or value <= maximum):
        return None
    message = f"{rule.name} is {value}, allowed are {minimum} to {maximum}"
    return error("out_of_range", message, f"use {minimum} to {maximum}", field=rule.name, value=value)


def _choices(rule: FieldRule, model: Model) -> tuple[str, ...]:
    if rule.name == "quality":
        return model.qualities
    if rule.name == "output_format":
        return model.output_formats
    if rule.name == "background":
        return model.backgrounds
    return model.sizes if rule.name == "size" else rule.choices


def _format_rules(params: Params, output_format: object) -> Iterator[Complaint]:
    if params.get("background") == "transparent" and output_format == "jpeg":
        next_step = "use png or webp"
        yield error(
            "transparent_jpeg", "jpeg cannot be transparent", next_step, field="background", value="transparent"
        )
    if "output_compression" in params and output_format in ("png", "gif", "svg"):
        message = f"output_compression does not go with {output_format}"
        value = params["output_compression"]
        next_step = "set output_format to jpeg or webp, or remove it"
        yield error("compression_format", message, next_step, field="output_compression", value=value)


def _only_with(params: Params, fields: tuple[str, ...], what: str) -> Iterator[Complaint]:
    for field in fields:
        if field in params:
            message = f"{field} is only for {what}"
            yield error("not_together", message, f"set {what}, or remove it", field=field, value=params[field])


def _no_stream(params: Params, output_format: str) -> Iterator[Complaint]:
    for field in ("stream", "partial_images"):
        if params.get(field):
            message = f"{field} does not go with {output_format}"
            yield error("not_together", message, "remove it", field=field, value=params[field])


def _size_rules(params: Params, model: Model, output_format: object) -> Iterator[Complaint]:
    size, rule = params.get("size"), model.size_rule
    if rule is None or not isinstance(size, str) or size == AUTO:
        return
    pixels = parse_size(size)
    if pixels is None:
        next_step = "for example 1024x1024, or auto"
        yield error("bad_size", f"size {size!r} is not WIDTHxHEIGHT", next_step, field="size", value=size)
        return
    frames = params.get("frame_count", _GIF_FRAMES)
    is_gif = output_format == "gif" and isinstance(frames, int)
    fault = rule.gif_fault(*pixels, frames) if is_gif else rule.fault(*pixels)
    if fault is not None:
        step = rule.multiple_of
        rounded = "x".join(str(max(step, round(edge / step) * step)) for edge in pixels)
        next_step = f"try {rounded}" if rounded != size else "choose another size"
        yield error("bad_size", f"size {size} {fault}", next_step, field="size", value=size)


def _positive(value: object, over: int = 0) -> bool:
    return isinstance(value, int) and value > over
