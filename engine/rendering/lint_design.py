"""How an email must look, as checks: width, pictures, colours, style sheets, size. They read the finished, inlined HTML."""

from __future__ import annotations

import colorsys
import re
from collections.abc import Callable, Iterator

from selectolax.lexbor import LexborHTMLParser, LexborNode

Finding = tuple[str, str, str]
"""Code, message, and the element (`table:2` = the third table) at which it stands; "" for the file as a whole."""

WIDTHS = (600, 650)
CLIP_BYTES = 102 * 1024
_FORBIDDEN = "script, iframe, form, object, embed, video, audio, link[rel=stylesheet]"
_BACKGROUND = re.compile(r"background(?:-color)?\s*:\s*([^;]+)", re.IGNORECASE)
_WIDTH = re.compile(r"(?<![a-z])(?:max-)?width\s*:\s*(\d+)px", re.IGNORECASE)
_HEIGHT = re.compile(r"(?<![a-z-])height\s*:\s*(\d+)px", re.IGNORECASE)
_HEX = re.compile(r"#([0-9a-f]{3}|[0-9a-f]{6})\b", re.IGNORECASE)
_RGB = re.compile(r"rgba?\(\s*(\d+)[\s,]+(\d+)[\s,]+(\d+)", re.IGNORECASE)
_NAMES = {
    "red": "#ff0000", "orangered": "#ff4500", "orange": "#ffa500", "darkorange": "#ff8c00",
    "tomato": "#ff6347", "crimson": "#dc143c", "firebrick": "#b22222", "coral": "#ff7f50",
    "white": "#ffffff", "black": "#000000",
}  # fmt: skip
_AT_RULE = re.compile(r"@media[^{]*\{(?:[^{}]|\{[^{}]*\})*\}|/\*.*?\*/", re.IGNORECASE | re.DOTALL)
_HIDDEN = re.compile(r"display\s*:\s*none", re.IGNORECASE)
_SILENT = frozenset({"head", "style", "script", "title", "-comment", "-undef"})
_VALUE_END = re.compile("[;}\"'>]")
_SHARE_OF_RED = 0.2
_LARGE_AREA = 300 * 120  # pixels
_FEW_WORDS = 30


def check_design(html: str, *, ignore: tuple[str, ...] = ()) -> Iterator[Finding]:
    """The findings on one rendered, inlined document. `ignore`: texts that every mail has (the shop's name, address)."""
    tree = LexborHTMLParser(html)
    yield from _width(tree)
    yield from _pictures(tree, ignore)
    yield from _red_area(tree)
    yield from _style_sheets(tree)
    for node in tree.css(_FORBIDDEN):
        message = f"<{node.tag}> is removed or blocked by mail programs"
        yield "forbidden-element", message, f"{node.tag}:0"
    size = len(html.encode())
    if size > CLIP_BYTES:
        message = f"{size // 1024} KB of HTML: Gmail clips a mail above 102 KB"
        yield "clip-102kb", message, ""


def _width(tree: LexborHTMLParser) -> Iterator[Finding]:
    widths = [(pixels, n) for n, table in enumerate(tree.css("table")) if (pixels := _wide(table))]
    low, high = WIDTHS
    if not widths:
        yield (
            "width",
            f"the main table names no width in pixels; make it {low} to {high}",
            "table:0",
        )
        return
    widest, number = max(widths, key=lambda found: (found[0], -found[1]))
    if not low <= widest <= high:
        message = f"the main table is {widest} pixels wide; make it {low} to {high}"
        yield "width", message, f"table:{number}"


def _wide(node: LexborNode) -> int:
    style = _WIDTH.search(node.attributes.get("style") or "")
    width = (node.attributes.get("width") or "").removesuffix("px")
    return int(style[1]) if style else int(width) if width.isdigit() else 0


def _pictures(tree: LexborHTMLParser, ignore: tuple[str, ...]) -> Iterator[Finding]:
    images = tree.css("img")
    words = _visible_text(tree.body, without_links=True)
    for text in ignore:
        words = words.replace(text, "")
    weight = sum(2 if character > "\u2e80" else 1 for character in words if character.isalnum())
    if images and weight < _FEW_WORDS:
        yield (
            "image-only",
            "pictures and hardly a word: a sign of spam, and blank without pictures",
            "img:0",
        )
    if not images and not _has_colour(tree):
        yield "text-only", "only text, no picture and no coloured area or button", ""


def _has_colour(tree: LexborHTMLParser) -> bool:
    colours = (_background(node) for node in tree.css("[style], [bgcolor]"))
    return any(colour is not None and min(colour) < 250 for colour in colours)


def _style_sheets(tree: LexborHTMLParser) -> Iterator[Finding]:
    styles = tree.css("style")
    if len(styles) > 1:
        yield "one-style-only", f"{len(styles)} <style> elements stay; one is allowed", "style:1"
    for number, node in enumerate(styles):
        rest = _AT_RULE.sub("", node.text(deep=True)).strip()
        if rest:
            rule = rest.split("{")[0].strip()[:40]
            message = f"{rule!r} cannot be inlined; only @media rules may stay in <style>"
            yield "one-style-only", message, f"style:{number}"


def _red_area(tree: LexborHTMLParser) -> Iterator[Finding]:
    if tree.body is None:
        return
    glaring = total = 0

    def visit(node: LexborNode, red: bool) -> None:
        nonlocal glaring, total
        if node.tag == "-text":
            weight = len((node.text_content or "").strip())
            total, glaring = total + weight, glaring + weight * red
        elif _is_shown(node):
            colour = _background(node)
            red = red if colour is None else is_glaring(colour)
            if colour is not None and red and _area(node) >= _LARGE_AREA:
                glaring += 10**6
            for child in node.iter(include_text=True):
                visit(child, red)

    visit(tree.body, False)
    if glaring > max(total, 1) * _SHARE_OF_RED:
        yield "red-area", "a large area of glaring red or orange: a sign of spam", "red"


def _area(node: LexborNode) -> int:
    style = node.attributes.get("style") or ""
    height = _HEIGHT.search(style)
    given = (node.attributes.get("height") or "").removesuffix("px")
    tall = int(height[1]) if height else int(given) if given.isdigit() else 0
    return tall * (_wide(node) or WIDTHS[0])


def is_glaring(colour: tuple[int, int, int]) -> bool:
    """Red to orange, saturated, neither pale nor dark.

    >>> is_glaring((255, 0, 0)), is_glaring((255, 102, 0)), is_glaring((244, 231, 224)), is_glaring((47, 74, 63))
    (True, True, False, False)
    """
    hue, lightness, saturation = colorsys.rgb_to_hls(*(part / 255 for part in colour))
    return (hue <= 40 / 360 or hue >= 345 / 360) and saturation > 0.6 and 0.3 < lightness < 0.72


def _background(node: LexborNode) -> tuple[int, int, int] | None:
    style = _BACKGROUND.search(node.attributes.get("style") or "")
    return _rgb(style[1] if style else node.attributes.get("bgcolor") or "")


def _rgb(text: str) -> tuple[int, int, int] | None:
    text = _NAMES.get(text.strip().lower(), text)
    if numbers := _RGB.search(text):
        return int(numbers[1]), int(numbers[2]), int(numbers[3])
    if digits := _HEX.search(text):
        code = digits[1] if len(digits[1]) == 6 else "".join(c * 2 for c in digits[1])
        return int(code[:2], 16), int(code[2:4], 16), int(code[4:], 16)
    return None


def _visible_text(node: LexborNode | None, *, without_links: bool) -> str:
    if node is None:
        return ""
    pieces: list[str] = []

    def visit(inner: LexborNode) -> None:
        if inner.tag == "-text":
            pieces.append(inner.text_content or "")
        elif _is_shown(inner) and not (without_links and inner.tag == "a"):
            for child in inner.iter(include_text=True):
                visit(child)

    visit(node)
    return "".join(pieces)


def _is_shown(node: LexborNode) -> bool:
    return node.tag not in _SILENT and not _HIDDEN.search(node.attributes.get("style") or "")


def place(element: str, html: str) -> int | None:
    """The offset in a template's source of a finding's element, or None for the file as a whole."""
    if element == "red":
        return _first_red(html)
    tag, _, number = element.partition(":")
    if not tag:
        return None
    found = [match.start() for match in re.finditer(rf"<{tag}\b", html, re.IGNORECASE)]
    if not found:
        return None
    return found[min(int(number), len(found) - 1)]


def _first_red(html: str) -> int | None:
    patterns: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...] = (
        (_BACKGROUND, lambda match: match[1]),
        (re.compile(r"bgcolor\s*=\s*[\"']?([^\"'\s>]+)", re.IGNORECASE), lambda match: match[1]),
    )
    for pattern, value in patterns:
        for match in pattern.finditer(html):
            colour = _rgb(_VALUE_END.split(value(match))[0])
            if colour is not None and is_glaring(colour):
                return match.start()
    return None
