"""The words by which a text makes a claim that can be checked, as patterns over lower-case text.

A *mention* is a word for a quantity: one of the six psi features, ``probability`` (of the predicted class)
or ``reliability``. Some mentions claim a band by themselves: *unstable* says that stability is low.
"""

import re


def _words(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w)(?:{pattern})(?!\w)", re.IGNORECASE)


_AGAINST = r"(?:its|the|their|most|all|many|of|other|\s)*neighbo\w+"
_HOW = r"(?:\w+ )?"

# (quantity, band that the words claim by themselves or None, words); earlier entries win where two overlap.
MENTIONS: list[tuple[str, str | None, re.Pattern[str]]] = [
    ("confidence", None, _words(
        r"confidence[- ]gradient(?: (?:relationship|correlation|\w*alignment))?|confidence around it"
        r"|guide to what was (?:already )?learned"
    )),
    ("conflict", "high", _words(
        rf"(?:pull|push|learn|work|tug)(?:s|ed|ing|ged)? {_HOW}against|(?:in conflict|at odds|clash\w*|conflicts) with"
        rf"|conflicting|misaligned|diverg\w+ (?:\w+ )?from {_AGAINST}|disagree\w* {_HOW}with {_AGAINST}"
    )),
    ("conflict", "low", _words(rf"(?:aligned|in line|in harmony|harmonious) {_HOW}with {_AGAINST}")),
    ("conflict", None, _words(r"conflict(?: intensity)?|friction")),
    ("stability", "high", _words(
        rf"(?:in|into|towards?) the same {_HOW}directions?|(?:learn|mov)\w* as one|stable|coherent\w*|consistent\w*"
    )),
    ("stability", "low", _words(
        rf"(?:in|into|towards?) {_HOW}(?:different|opposite|opposing|diverging|inconsistent) directions?"
        r"|unstable|instability|erratic|chaotic|volatile|incoheren\w*|inconsisten\w*"
    )),
    ("stability", None, _words(r"(?:trajectory )?stability")),
    ("influence", "high", _words(rf"influential|(?:spread|reach|propagat)\w* {_HOW}(?:through|across|far|into|over)")),
    ("influence", None, _words(r"(?:multi-hop )?influenc(?:e|es|ed|ing)")),
    ("receptiveness", "high", _words(rf"receptive|(?:gain|benefit)\w* {_HOW}from (?:a |any )?{_HOW}correction")),
    ("receptiveness", None, _words(r"(?:correction )?(?:receptiveness|receptivity)")),
    ("role", None, _words(r"(?:(?:learning|topological) )*role")),
    ("reliability", "high", _words(
        r"reliabl[ey]|trustworthy|dependabl[ey]|trusted|trust (?:it|this|that|the)|rel(?:y|ied) (?:up)?on"
    )),
    ("reliability", "high", _words(r"safe(?:ly)? to (?:act|rely)|safely act|beyond doubt")),
    ("reliability", "low", _words(r"unreliabl[ey]|untrustworthy|doubtful|questionable|disregard(?:ed)?")),
    ("reliability", None, _words(r"reliability|trust|trustworthiness")),
    ("probability", "high", _words(r"confident(?:ly)?|sure|certain(?:ly|ty)?|overconfident")),
    ("probability", "low", _words(r"unsure|uncertain(?:ly|ty)?|unconfident|underconfident|guess(?:es|ed|ing|work)?")),
    ("probability", None, _words(r"confidence|probability|likelihood|chance")),
]  # fmt: skip
LABEL = _words(r"(?:true|actual|real|correct|right) (?:value|label|class|category|one)|label|ground truth")
PREDICTION = _words(r"(?:mis)?(?:predict|classif)\w*|estimat\w+|assign\w*|answer\w*|output\w*|decision")
NEIGHBOURS = _words(r"neighbo\w+")
FEATURES = _words(r"(?:input )?features?")

BANDS_OF_WORDS: list[tuple[str, re.Pattern[str]]] = [
    ("high", _words(
        r"high(?:ly|er|est)?|strong(?:ly)?|large(?:ly)?|mostly|very|extreme(?:ly)?|great(?:ly)?|pronounced"
        r"|severe(?:ly)?|substantial(?:ly)?|considerabl[ey]|significant(?:ly)?|marked(?:ly)?|heav(?:y|ily)|elevated"
        r"|sharp(?:ly)?|wide(?:ly)?|excellent|perfect(?:ly)?|full(?:y)?|strikingly"
    )),
    ("medium", _words(r"medium|moderate(?:ly)?|average|middling|intermediate|partly|partially|somewhat|fairly")),
    ("low", _words(
        r"low(?:er|est)?|small|little|weak(?:ly)?|minimal(?:ly)?|slight(?:ly)?|minor|negligibl[ey]|limited|hardly"
        r"|barely|scarcely|tiny"
    )),
]  # fmt: skip
SHARES = _words(r"shares?|shared|sharing|agrees?|(?:have|has|get|with) the same|also predicted")
DIFFERS = _words(r"differs?|disagrees?|another|a different|different|other")
PLAIN_BAND = _words(r"low|medium|moderate|high")  # the only ones that may speak of a quantity named earlier
ABSENT = _words(r"no|without|lacks|zero")  # directly before a quantity: low

NEGATION = _words(r"not|never|no|nor|neither|without|cannot|\w+n't|less|lacks?|far from|anything but")
HEDGE = _words(r"may|might|could|if|whether|should|would|perhaps|possibly")
UNKNOWN = _words(
    r"unknown|(?:not|never|cannot be|isn't|aren't) (?:\w+ )?(?:known|defined|available|told|given|measured)"
    r"|nothing (?:can be|is) (?:said|told|known)|undefined|unavailable|n/a"
)
LEARNING = _words(r"how (?:it|the model) (?:was |would be )?learn(?:s|t|ed)")

ROLE = _words(r"(hub|bridge|follower|outlier)s?")
CORRECT = _words(
    r"(?:correct(?:ly)?|accurate(?:ly)?|rightly)(?! (?:it|this|that|the|its|them|label|class|value|category|one)\b)"
    r"|(?:is|was) right|(?:got|gets|had|has) (?:it|this|that|this one) right|nail(?:s|ed)"
    r"|(?:truth|label|records?) (?:also )?(?:says|confirms)"
    r"|label is (?:indeed )?(?:the )?same|(?:match|agree|coincid)\w*(?: \w+){0,3} label"
)
WRONG = _words(
    r"wrong(?:ly)?|incorrect(?:ly)?|mistake\w*|erroneous(?:ly)?|misclassif\w+|mispredict\w+|mislabell?ed|false(?:ly)?"
    r"|inaccurate(?:ly)?|an error|errs|erred|mistook|confus(?:es|ed)|fail(?:s|ed) (?:on|at|here|for|with)"
    r"|label is (?:different|another)"
    r"|(?:differ|deviat|disagree|contradict)\w*(?: \w+){0,3} label"
)

# What would be predicted without some connections.
CONNECTIONS = _words(r"connections?|edges?|links?|ties?")
REMOVAL = _words(
    r"without|absence of|gone|away|lost|lose[sd]?|losing|loss of|missing|lack(?:s|ing)?"
    r"|(?:remov|delet|cutt?|dropp?|disconnect)(?:e|es|ed|s|ing|al)?"
)
SUPPOSED = _words(
    r"(?:would|will)(?: \w+){0,2} (?:(?:(?:mis)?(?:predict|classif)|becom|flip|switch|remain|stay|keep|turn|shift)\w*"
    r"|chang(?:e|ed)(?! (?:little|much|nothing)\b)|be [\ue000-\uf8ff]|be (?:\w+ ){1,4}[\ue000-\uf8ff])"
    r"|(?:confidence|probability|prediction|class) (?:would|will)"
    r"|(?:becomes?|(?:flip|switch|chang|turn|shift)\w* (?:in)?to)(?: \w+){0,3} [\ue000-\uf8ff]"
    r"|without (?:them|it|these|those|this|that)"
)
CHANGES = _words(
    r"chang(?:e[sd]?|ing)|flip\w*|switch\w*|becom\w*|turn(?:s|ed|ing)? (?:in)?to|shift\w*|revers\w*|overturn\w*"
    r"|alter(?:s|ed)?|no longer|instead|fragile|brittle|(?:class|prediction) (?:is|gets|would be) lost"
    r"|(?:another|(?:a )?different) (?:class|label|prediction|category|one|answer)"
)
STAYS = _words(
    r"still|remain(?:s|ed)?|stay(?:s|ed)?|keep(?:s|ing)?|kept|unchanged|unaffected|holds?|held|persist\w*|surviv\w*"
    r"|robust|resilient|(?:leave|leaves|left) (?:it|the class|the prediction)|(?:the|its) same(?! (?:\w+ )?direction)"
)
DEPENDS = _words(r"(?:hang|depend|rest|hinge|stand)(?:s|ed|ing)? (?:up)?on")
DENIAL = _words(r"not|never|nothing|no|nor|neither|cannot|hardly|\w+n't")
FORMER = re.compile(r"\b(?:from|than)(?: \w+){0,3} ?$", re.IGNORECASE)  # before what is predicted with all connections
NOW = _words(r"now|currently|at present|actually|as it is|in fact")

CLAUSE_END = re.compile(
    r"[;:()—]|,(?!\d)|[.!?](?=\s|$)|\b(?:and|but|while|although|though|whereas|which|so|because|since|yet|despite|"
    r"instead of|rather than)\b",
    re.IGNORECASE,
)
NUMBER = re.compile(
    r"(?<![\d.])(?P<number>(?:(?<!\w)[-+])?(?:\d+(?:,\d{3})*(?:\.\d+)?|\.\d+)(?:e[-+]?\d+)?)"
    r"(?P<percent>\s?(?:%|percent\b|per cent\b))?",
    re.IGNORECASE,
)
SPELLED_COUNTS = {
    word: count
    for count, word in enumerate(
        ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"), start=1
    )
}
SPELLED = _words("|".join(SPELLED_COUNTS))
SPELLED_LARGE = _words(
    r"eleven|twelve|(?:thir|four|fif|six|seven|eigh|nine)teen|(?:twen|thir|for|fif|six|seven|eigh|nine)ty(?:-\w+)?|dozens?"
    r"|hundreds?|thousands?|millions?"
)
