"""The provinces and cities of China: their short names, how they are written, and whose clock they keep.

Administrative divisions as of 2024 (GB/T 2260), down to prefectures and to those counties that stand directly under a
province. A place is known by its short name, `广东` and `广州`; `广东省` and `广州市` are other spellings of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

CHINA = "Asia/Shanghai"
_ZONES = {"香港": "Asia/Hong_Kong", "澳门": "Asia/Macau", "台湾": "Asia/Taipei"}
"""Xinjiang keeps Beijing time as the law has it; who lives by Urumqi's clock says so in `timezone`."""

# Cities are 市 unless what follows `/` says otherwise.
_WRITTEN = {
    "北京市": "",
    "天津市": "",
    "上海市": "",
    "重庆市": "",
    "河北省": "石家庄 唐山 秦皇岛 邯郸 邢台 保定 张家口 承德 沧州 廊坊 衡水",
    "山西省": "太原 大同 阳泉 长治 晋城 朔州 晋中 运城 忻州 临汾 吕梁",
    "内蒙古自治区": "呼和浩特 包头 乌海 赤峰 通辽 鄂尔多斯 呼伦贝尔 巴彦淖尔 乌兰察布 兴安/盟"
    " 锡林郭勒/盟 阿拉善/盟",
    "辽宁省": "沈阳 大连 鞍山 抚顺 本溪 丹东 锦州 营口 阜新 辽阳 盘锦 铁岭 朝阳 葫芦岛",
    "吉林省": "长春 吉林 四平 辽源 通化 白山 松原 白城 延边/朝鲜族自治州",
    "黑龙江省": "哈尔滨 齐齐哈尔 鸡西 鹤岗 双鸭山 大庆 伊春 佳木斯 七台河 牡丹江 黑河 绥化 大兴安岭/地区",
    "江苏省": "南京 无锡 徐州 常州 苏州 南通 连云港 淮安 盐城 扬州 镇江 泰州 宿迁",
    "浙江省": "杭州 宁波 温州 嘉兴 湖州 绍兴 金华 衢州 舟山 台州 丽水",
    "安徽省": "合肥 芜湖 蚌埠 淮南 马鞍山 淮北 铜陵 安庆 黄山 滁州 阜阳 宿州 六安 亳州 池州 宣城",
    "福建省": "福州 厦门 莆田 三明 泉州 漳州 南平 龙岩 宁德",
    "江西省": "南昌 景德镇 萍乡 九江 新余 鹰潭 赣州 吉安 宜春 抚州 上饶",
    "山东省": "济南 青岛 淄博 枣庄 东营 烟台 潍坊 济宁 泰安 威海 日照 临沂 德州 聊城 滨州 菏泽",
    "河南省": "郑州 开封 洛阳 平顶山 安阳 鹤壁 新乡 焦作 濮阳 许昌 漯河 三门峡 南阳 商丘 信阳 周口"
    " 驻马店 济源",
    "湖北省": "武汉 黄石 十堰 宜昌 襄阳 鄂州 荆门 孝感 荆州 黄冈 咸宁 随州 恩施/土家族苗族自治州"
    " 仙桃 潜江 天门 神农架/林区",
    "湖南省": "长沙 株洲 湘潭 衡阳 邵阳 岳阳 常德 张家界 益阳 郴州 永州 怀化 娄底 湘西/土家族苗族自治州",
    "广东省": "广州 韶关 深圳 珠海 汕头 佛山 江门 湛江 茂名 肇庆 惠州 梅州 汕尾 河源 阳江 清远 东莞"
    " 中山 潮州 揭阳 云浮",
    "广西壮族自治区": "南宁 柳州 桂林 梧州 北海 防城港 钦州 贵港 玉林 百色 贺州 河池 来宾 崇左",
    "海南省": "海口 三亚 三沙 儋州 五指山 琼海 文昌 万宁 东方 定安/县 屯昌/县 澄迈/县 临高/县"
    " 白沙/黎族自治县 昌江/黎族自治县 乐东/黎族自治县 陵水/黎族自治县 保亭/黎族苗族自治县 琼中/黎族苗族自治县",
    "四川省": "成都 自贡 攀枝花 泸州 德阳 绵阳 广元 遂宁 内江 乐山 南充 眉山 宜宾 广安 达州 雅安"
    " 巴中 资阳 阿坝/藏族羌族自治州 甘孜/藏族自治州 凉山/彝族自治州",
    "贵州省": "贵阳 六盘水 遵义 安顺 毕节 铜仁 黔西南/布依族苗族自治州 黔东南/苗族侗族自治州"
    " 黔南/布依族苗族自治州",
    "云南省": "昆明 曲靖 玉溪 保山 昭通 丽江 普洱 临沧 楚雄/彝族自治州 红河/哈尼族彝族自治州"
    " 文山/壮族苗族自治州 西双版纳/傣族自治州 大理/白族自治州 德宏/傣族景颇族自治州 怒江/傈僳族自治州"
    " 迪庆/藏族自治州",
    "西藏自治区": "拉萨 日喀则 昌都 林芝 山南 那曲 阿里/地区",
    "陕西省": "西安 铜川 宝鸡 咸阳 渭南 延安 汉中 榆林 安康 商洛",
    "甘肃省": "兰州 嘉峪关 金昌 白银 天水 武威 张掖 平凉 酒泉 庆阳 定西 陇南 临夏/回族自治州"
    " 甘南/藏族自治州",
    "青海省": "西宁 海东 海北/藏族自治州 黄南/藏族自治州 海南/藏族自治州 果洛/藏族自治州"
    " 玉树/藏族自治州 海西/蒙古族藏族自治州",
    "宁夏回族自治区": "银川 石嘴山 吴忠 固原 中卫",
    "新疆维吾尔自治区": "乌鲁木齐 克拉玛依 吐鲁番 哈密 昌吉/回族自治州 博尔塔拉/蒙古自治州"
    " 巴音郭楞/蒙古自治州 阿克苏/地区 克孜勒苏/柯尔克孜自治州 喀什/地区 和田/地区 伊犁/哈萨克自治州"
    " 塔城/地区 阿勒泰/地区 石河子 阿拉尔 图木舒克 五家渠 北屯 铁门关 双河 可克达拉 昆玉 胡杨河 新星",
    "台湾省": "台北 新北 桃园 台中 台南 高雄 基隆 新竹 嘉义",
    "香港特别行政区": "",
    "澳门特别行政区": "",
}
_SHORT = {"内蒙古自治区": "内蒙古", "黑龙江省": "黑龙江"}  # the others have two characters


@dataclass(frozen=True, slots=True)
class Province:
    """`spellings`: longest first, the short name last. `cities`: short name → full name. A province without cities is
    one itself: Shanghai's city is Shanghai."""

    name: str
    zone: str
    spellings: tuple[str, ...]
    cities: Mapping[str, str]

    @property
    def is_city(self) -> bool:
        return not self.cities


@lru_cache(maxsize=1)
def provinces() -> Mapping[str, Province]:
    """Every province by its short name.

    >>> provinces()["广西"].spellings
    ('广西壮族自治区', '广西自治区', '广西省', '广西')
    """
    found = [_province(full, cities) for full, cities in _WRITTEN.items()]
    return {province.name: province for province in found}


def _province(full: str, cities: str) -> Province:
    name = _SHORT.get(full, full[:2])
    spellings: tuple[str, ...]
    if full.endswith("特别行政区"):
        spellings = (full, f"{name}特区", name)
    elif full.endswith("自治区"):
        spellings = tuple(dict.fromkeys((full, f"{name}自治区", f"{name}省", name)))
    else:
        spellings = (full, name)
    named = [city.partition("/") for city in cities.split()]
    return Province(
        name,
        _ZONES.get(name, CHINA),
        spellings,
        {city: city + (suffix or "市") for city, _, suffix in named},
    )


@lru_cache(maxsize=1)
def zones() -> frozenset[str]:
    """The zones that a province can stand for."""
    return frozenset(province.zone for province in provinces().values())


@lru_cache(maxsize=1)
def province_spellings() -> Mapping[str, str]:
    """Every way to write a province → its short name."""
    return {
        spelling: province.name
        for province in provinces().values()
        for spelling in province.spellings
    }


@lru_cache(maxsize=1)
def city_spellings() -> Mapping[str, tuple[tuple[str, str], ...]]:
    """Every way to write a city → the (province, city) that it may be: 海南 is a prefecture of 青海.

    >>> city_spellings()["苏州市"]
    (('江苏', '苏州'),)
    """
    found: dict[str, list[tuple[str, str]]] = {}
    for province in provinces().values():
        own = {province.name: province.name}
        for city, full in (province.cities or own).items():
            for spelling in dict.fromkeys((city, full, f"{city}市")):
                found.setdefault(spelling, []).append((province.name, city))
    return {spelling: tuple(places) for spelling, places in found.items()}


def short_province(written: str) -> str | None:
    """The short name of a province however it is written; None for what is none.

    >>> short_province("广西壮族自治区"), short_province("Bavaria")
    ('广西', None)
    """
    return province_spellings().get(written)


def short_city(written: str) -> str | None:
    """The same of a city.

    >>> short_city("延边朝鲜族自治州")
    '延边'
    """
    places = city_spellings().get(written)
    return places[0][1] if places else None
