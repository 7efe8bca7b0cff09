"""English sentences from a small grammar, for voices to read: many, different, and always the same for a seed."""

import numpy as np


def _words(text: str) -> tuple[str, ...]:
    """Splits a list of words; those of a phrase are joined by dots."""
    return tuple(word.replace(".", " ") for word in text.split())


_DETERMINERS = _words("the a my your our their this that every another one some")
_ADJECTIVES = _words("""
    old young quiet busy yellow purple narrow heavy gentle clever frozen broken silver wooden hungry lonely famous
    careful distant early empty polite rusty shallow simple sudden tired useful warm wild brave curious dusty eager
    friendly golden honest icy jolly kind lucky modern noisy orange perfect rapid secret tiny usual velvet wise
""")
_PEOPLE = _words("""
    doctor farmer teacher sailor painter baker lawyer singer captain cousin neighbour driver student nurse judge
    hunter pilot tailor writer gardener merchant soldier uncle grandmother visitor engineer carpenter shepherd poet
    brother sister child butcher dancer actor guard prince queen waiter plumber
""")
_THINGS = _words("""
    boat letter garden window basket river mountain kitchen bridge castle table candle picture ticket bottle hammer
    ladder mirror pencil blanket jacket button engine wagon village forest island market station church hospital
    library museum office palace school theatre tower valley harbour orchard telephone umbrella violin newspaper
    machine carpet curtain saucepan bicycle hedge chimney cellar ribbon fountain pocket thimble shovel
""")
_VERBS = _words("""
    found carried painted opened noticed borrowed repaired described followed watched remembered forgot visited
    bought sold washed counted measured dropped hid moved built broke chose drew lifted pushed reached shook touched
    covered examined finished gathered imagined judged kept lost mentioned offered prepared questioned received
    studied tried used wanted
""")
_PLACES = _words("""
    behind beside beyond near above below under around outside across toward against
""")
_TIMES = _words("""
    today yesterday tomorrow tonight again before.breakfast after.the.storm in.the.morning at.midnight last.winter
    during.the.summer on.thursday at.five.o'clock for.seven.weeks without.a.word as.usual in.april before.the.war
    after.lunch at.sunrise every.evening long.ago for.the.third.time in.a.hurry with.great.care by.accident
""")
_LINKS = _words("and but while because so although until when")


def make_sentences(count: int, seed: int) -> list[str]:
    """Returns `count` different sentences of 9 to 15 words; a longer list begins with the shorter one."""
    rng = np.random.default_rng(seed)
    sentences: dict[str, None] = {}  # keeps the order and drops what is there already
    while len(sentences) < count:
        sentences[_sentence(rng)] = None
    return list(sentences)


def _sentence(rng: np.random.Generator) -> str:
    shape = rng.integers(4)
    if shape == 0:
        words = [_subject(rng), _one(rng, _VERBS), _object(rng), _where(rng), _one(rng, _TIMES)]
    elif shape == 1:
        words = [_one(rng, _TIMES), _subject(rng), _one(rng, _VERBS), _object(rng), _where(rng)]
    elif shape == 2:
        words = [_subject(rng), _one(rng, _VERBS), _object(rng), _one(rng, _LINKS)]
        words += [_subject(rng), _one(rng, _VERBS), "it"]
    else:
        words = ["when", _subject(rng), _one(rng, _VERBS), _object(rng), _subject(rng), _one(rng, _VERBS), _object(rng)]
    sentence = " ".join(words)
    return sentence[0].upper() + sentence[1:] + "."


def _one(rng: np.random.Generator, words: tuple[str, ...]) -> str:
    return words[rng.integers(len(words))]


def _subject(rng: np.random.Generator) -> str:
    return _phrase(rng, _PEOPLE)


def _object(rng: np.random.Generator) -> str:
    return _phrase(rng, _THINGS)


def _where(rng: np.random.Generator) -> str:
    return f"{_one(rng, _PLACES)} {_object(rng)}"


def _phrase(rng: np.random.Generator, nouns: tuple[str, ...]) -> str:
    determiner, noun = _one(rng, _DETERMINERS), _one(rng, nouns)
    adjective = _one(rng, _ADJECTIVES) if rng.random() < 0.6 else ""
    if determiner in ("a", "another"):
        following = adjective or noun
        if determiner == "a" and following[0] in "aeio" + ("u" if following.startswith("um") else ""):
            determiner = "an"
    return " ".join(word for word in (determiner, adjective, noun) if word)
