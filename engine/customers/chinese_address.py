"""Province and city at the head of a Chinese postal address, in the short form that segments use."""

from __future__ import annotations

import re

_PROVINCES = (
    "北京", "天津", "上海", "重庆", "河北", "山西", "辽宁", "吉林", "黑龙江", "江苏", "浙江", "安徽", "福建",
    "江西", "山东", "河南", "湖北", "湖南", "广东", "海南", "四川", "贵州", "云南", "陕西", "甘肃", "青海",
    "台湾", "内蒙古", "广西", "西藏", "宁夏", "新疆", "香港", "澳门",
)  # fmt: skip
_MUNICIPALITIES = frozenset(("北京", "天津", "上海", "重庆", "香港", "澳门"))
_HEAD = re.compile(
    rf"\s*({'|'.join(_PROVINCES)})(?:维吾尔|壮族|回族)?(?:特别行政区|自治区|省|市)?[\s,，]*"
)
_CITY = re.compile(r"([\u4e00-\u9fff]{2,11}?(?:自治州|地区|盟|市))")
_WORD = re.compile(r"([\u4e00-\u9fff]{2,11})(?:\s|$)")


def province_of(address: str) -> str | None:
    """Without 省, 市 or 自治区; None where the address does not begin with a province.

    >>> province_of("广东省 广州市 天河区 体育西路 1 号"), province_of("内蒙古自治区呼和浩特市"), province_of("Paris")
    ('广东', '内蒙古', None)
    >>> province_of("海南藏族自治州共和县"), province_of("海南省海口市")
    ('青海', '海南')
    """
    match = _HEAD.match(_with_province(address))
    return match[1] if match else None


def city_of(address: str) -> str | None:
    """Without 市; of a municipality the municipality itself.

    >>> city_of("广东省 广州市 天河区"), city_of("上海 上海市 浦东新区"), city_of("云南省大理白族自治州大理市")
    ('广州', '上海', '大理白族自治州')
    """
    address = _with_province(address)
    match = _HEAD.match(address)
    if match is None:
        return None
    if match[1] in _MUNICIPALITIES:
        return match[1]
    rest = address[match.end() :]
    city = _CITY.match(rest) or _WORD.match(rest)
    return city[1].removesuffix("市") if city else None


def _with_province(address: str) -> str:
    """海南藏族自治州 lies in 青海; only its name begins like a province."""
    bare = address.lstrip()
    return "青海省" + bare if bare.startswith("海南藏族") else address
