"""The same films in English and in Chinese, from templates: what differs between the two is the language alone."""

import csv
import functools
import sys
from pathlib import Path

import numpy as np

from longplay.envs.catalogs.catalog import Catalog

# A block each genre: its name; who, what they do, and where it happens; English = Chinese, one pair a line.
_VOCABULARY = """
Horror = 恐怖
a haunted nurse = 闹鬼医院的护士
a curious priest = 好奇的神父
a lonely widow = 孤独的寡妇
four students = 四名学生
-
awakens a demon = 唤醒了恶魔
is hunted by a ghost = 被鬼魂追杀
finds a cursed doll = 发现被诅咒的娃娃
hears the dead whisper = 听见死者低语
-
in an abandoned asylum = 在废弃的精神病院
in a dark cellar = 在黑暗的地窖
on a foggy graveyard = 在雾中的墓地
===
Science Fiction = 科幻
an android pilot = 仿生人飞行员
a stranded astronaut = 被困的宇航员
a young physicist = 年轻的物理学家
a robot = 一个机器人
-
meets an alien fleet = 遭遇外星舰队
travels through time = 穿越时空
repairs a spaceship = 修理宇宙飞船
decodes a signal from space = 破译太空信号
-
on a distant planet = 在遥远的行星上
in orbit around Mars = 在火星轨道上
in a future city = 在未来都市
===
Romance = 爱情
a shy florist = 害羞的花店老板
two old friends = 两个老朋友
a wedding planner = 婚礼策划师
a young pianist = 年轻的钢琴家
-
falls in love = 坠入爱河
writes love letters = 写下情书
kisses a stranger = 亲吻了陌生人
breaks off an engagement = 取消了婚约
-
during a summer in Paris = 在巴黎的夏天
at a village wedding = 在乡村婚礼上
by the sea = 在海边
===
War = 战争
a young soldier = 年轻的士兵
a field doctor = 战地医生
a captured general = 被俘的将军
a bomber crew = 轰炸机机组
-
defends a bridge = 保卫一座桥梁
escapes from the enemy = 逃离敌军
digs a trench = 挖掘战壕
leads a last attack = 率领最后的进攻
-
behind the front line = 在前线后方
on a burning battlefield = 在燃烧的战场
in a prison camp = 在战俘营
===
Comedy = 喜剧
a clumsy waiter = 笨手笨脚的服务员
a lazy clown = 懒惰的小丑
a vain mayor = 虚荣的市长
three cousins = 三个表兄弟
-
wins a silly bet = 赢得愚蠢的赌局
swaps suitcases = 拿错了行李箱
pretends to be a chef = 假扮成厨师
ruins a party = 搞砸了派对
-
in a cheap hotel = 在廉价旅馆
at a pie contest = 在馅饼大赛
on a cruise = 在游轮上
===
Crime = 犯罪
a tired detective = 疲惫的侦探
a bank robber = 银行劫匪
a corrupt lawyer = 腐败的律师
a getaway driver = 逃亡司机
-
plans a heist = 策划抢劫
hides a body = 藏匿尸体
betrays the mob = 背叛黑帮
solves a murder = 侦破谋杀案
-
in the harbour district = 在港口区
in a city of gangs = 在帮派横行的城市
at a casino = 在赌场
===
Western = 西部
an old sheriff = 年老的警长
a silent cowboy = 沉默的牛仔
a gold digger = 淘金者
two outlaws = 两名亡命徒
-
duels at noon = 正午决斗
robs a stagecoach = 抢劫驿马车
drives cattle = 驱赶牛群
rides into a saloon = 骑马闯入酒馆
-
on the prairie = 在大草原
in a mining town = 在采矿小镇
at a desert ranch = 在沙漠牧场
===
Music = 音乐
a blind guitarist = 失明的吉他手
a jazz singer = 爵士歌手
a school choir = 学校合唱团
a street drummer = 街头鼓手
-
records an album = 录制专辑
tours with a band = 随乐队巡演
writes an opera = 创作歌剧
loses the voice = 失去嗓音
-
in a smoky club = 在烟雾缭绕的俱乐部
at a festival = 在音乐节
on a concert stage = 在音乐会舞台
"""
_ADJECTIVES = """
Silent = 寂静; Last = 最后; Broken = 破碎; Golden = 金色; Hidden = 隐藏; Red = 红色; Endless = 无尽;
Bitter = 苦涩; Distant = 遥远; Wild = 狂野
"""
_NOUNS = """
River = 河流; Winter = 冬天; Mirror = 镜子; Garden = 花园; Road = 道路; Island = 岛屿; Letter = 信件;
Night = 夜晚; Window = 窗户; Harvest = 收获
"""
_FIRST = """
Anna = 安娜; Boris = 鲍里斯; Clara = 克拉拉; David = 大卫; Emma = 艾玛; Felix = 菲利克斯; Grace = 格蕾丝;
Henry = 亨利; Irene = 艾琳; Jacob = 雅各布; Laura = 劳拉; Oscar = 奥斯卡
"""
_LAST = """
Miller = 米勒; Carter = 卡特; Novak = 诺瓦克; Fischer = 费舍尔; Rossi = 罗西; Moreau = 莫罗; Larsen =
拉森; Bennett = 贝内特; Kowalski = 科瓦尔斯基; Santos = 桑托斯; Hughes = 休斯; Weber = 韦伯
"""
_COUNTRIES = """
France = 法国 = French = 法语; Italy = 意大利 = Italian = 意大利语; Japan = 日本 = Japanese = 日语; Spain
= 西班牙 = Spanish = 西班牙语; Canada = 加拿大 = English = 英语; India = 印度 = Hindi = 印地语
"""


@functools.cache
def _read_pairs(text, between=";"):
    pairs = " ".join(text.split("\n")) if between == ";" else text
    return [tuple(part.strip() for part in pair.split("=")) for pair in pairs.split(between) if pair.strip()]


def _read_genres():
    genres = {}
    for block in _VOCABULARY.split("==="):
        (name, *who), *rest = (_read_pairs(part, "\n") for part in block.split("\n-\n"))
        genres[name] = (who, *rest)
    return genres


_GENRES = _read_genres()
GENRES = tuple(_GENRES)


@functools.cache
def make_parallel(count: int = 2000, seed: int = 0, labels: bool = True) -> tuple[Catalog, Catalog]:
    """The catalogue in English and in Chinese; without labels the genre stands in the texts alone."""
    rng = np.random.default_rng(seed)

    def draw(pairs):
        return pairs[rng.integers(len(pairs))]

    def draw_name():
        first, last = draw(_read_pairs(_FIRST)), draw(_read_pairs(_LAST))
        return f"{first[0]} {last[0]}", f"{first[1]}·{last[1]}"

    english, chinese, topics = [], [], []
    for _ in range(count):
        genre = GENRES[rng.integers(len(GENRES))]
        who, does, where, then = map(draw, (*_GENRES[genre], _GENRES[genre][1]))
        adjective, noun, country, year = (
            draw(_read_pairs(_ADJECTIVES)),
            draw(_read_pairs(_NOUNS)),
            draw(_read_pairs(_COUNTRIES)),
            rng.integers(1950, 2015),
        )
        director, one, two = draw_name(), draw_name(), draw_name()
        english.append(
            f"The {adjective[0]} {noun[0]} ({year}), a {genre[0].lower()} film directed by {director[0]}, starring "
            f"{one[0]} and {two[0]}. From {country[0]}, in {country[2]}. "
            f"{who[0].capitalize()} {does[0]} {where[0]} and {then[0]}."
        )
        chinese.append(
            f"《{adjective[1]}的{noun[1]}》（{year}），{genre[1]}电影，{director[1]}执导，{one[1]}和{two[1]}主演。"
            f"{country[1]}，{country[3]}。{who[1]}{where[1]}{does[1]}，{then[1]}。"
        )
        topics.append(genre)
    numbers = {
        "minutes": rng.uniform(70, 150, count),
        "popularity": (rng.permutation(count) + 0.5) / count,
        "rating": (rng.permutation(count) + 0.5) / count,
        "published": np.arange(count, dtype=float),
    }
    ids = tuple(f"f{i}" for i in range(count))
    made = [
        Catalog(name, ids, tuple(texts), tuple((genre[k],) if labels else () for genre in topics), **numbers)
        for k, (name, texts) in enumerate((("english", english), ("chinese", chinese)))
    ]
    return made[0], made[1]


def compute_genre_cosine(factors, genres):
    """Mean cosine of the unit vectors of two different texts of one genre."""
    cosines = []
    for genre in sorted(set(genres)):
        rows = factors[[i for i, name in enumerate(genres) if name == genre]]
        cosines.append(((rows.sum(axis=0) ** 2).sum() - len(rows)) / (len(rows) * (len(rows) - 1)))
    return float(np.mean(cosines))


def write_parallel(folder: Path, count: int = 2000) -> None:
    """Write ``english.csv`` and ``chinese.csv``, as owners of a catalogue would."""
    folder.mkdir(parents=True, exist_ok=True)
    for catalog in make_parallel(count):
        with (folder / f"{catalog.name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["id", "text", "topics", "minutes", "popularity", "rating", "published"])
            numbers = (catalog.minutes, catalog.popularity, catalog.rating, catalog.published)
            labels = map("|".join, catalog.topics)
            writer.writerows(zip(catalog.ids, catalog.texts, labels, *numbers, strict=True))


if __name__ == "__main__":
    write_parallel(Path(sys.argv[1]))
