"""Sentences for every outline: the frames of each section of a text.

A frame may hold ``{one|another}`` word, of which the style picks one, and slots such as ``<confidence>``, which stand
for facts. A frame says nothing that its outline does not.
"""

from __future__ import annotations

from gragr_explain.rationale._outline import Outline
from gragr_explain.rationale._wording import join_words

# --- what was predicted ---------------------------------------------------------------------------------------------

_SURE = {
    "low": "{a low confidence of <confidence>|only <confidence> confidence|a confidence of only <confidence>}",
    "medium": "{a moderate confidence of <confidence>|<confidence> confidence|a confidence of <confidence>}",
    "high": "{a high confidence of <confidence>|<confidence> confidence|a confidence of <confidence>}",
}
_TAKES = "{takes <subject> for|reads <subject> as} <prediction>"


def outcome(outline: Outline) -> list[str]:
    sure = _SURE[outline.sure] if outline.sure else ""
    match outline.outcome:
        case "right":
            return [
                f"<subject> is predicted as <prediction> with {sure}, {{which|and that}} is correct.",
                f"The model {_TAKES} with {sure}, and its true label is the same.",
                f"The model {{correctly|rightly}} concludes that <subject> belongs to <prediction>, with {sure}.",
                f"<prediction> is the model's answer for <subject>, given with {sure}, and the answer is correct.",
                f"For <subject>, the model {{settles on|decides for}} <prediction> with {sure}; this is correct.",
                f"With {sure}, <subject> is classified as <prediction>, {{which matches|in agreement with}} its label.",
                f"The model is right about <subject>: it {{predicts|answers}} <prediction>, with {sure}.",
                f"<subject> is {{correctly|rightly}} recognised as <prediction>, with {sure}.",
            ]
        case "wrong":
            return [
                f"<subject> is predicted as <prediction> with {sure}, which is wrong: its true label is <label>.",
                f"The model {_TAKES} with {sure}, but its true label is <label>, so it is mistaken.",
                f"Here the model is {{wrong|mistaken}}: it predicts <prediction> for <subject> with {sure}, whereas "
                "the true label is <label>.",
                f"<subject> is misclassified: the model {{says|answers}} <prediction>, with {sure}, and its true label "
                "is <label>.",
                f"With {sure}, the model {{wrongly|incorrectly}} assigns <subject> to <prediction>; its true label is "
                "<label>.",
                f"The true label of <subject> is <label>, but the model predicts <prediction> with {sure}, which is "
                "{wrong|a mistake}.",
                f"<prediction> is the model's answer for <subject>, with {sure}, but the answer is wrong: the true "
                "label is <label>.",
                f"The model is wrong about <subject>: it {{predicts|answers}} <prediction>, with {sure}, while the "
                "true label is <label>.",
            ]
        case "open":
            return [
                f"<subject> is predicted as <prediction> with {sure}; its true label is not known.",
                f"The model {_TAKES} with {sure}; whether that is correct {{cannot be told|remains open}}, as its true "
                "label is not known.",
                f"For <subject>, the model {{settles on|decides for}} <prediction> with {sure}, and there is no true "
                "label to compare it with.",
                f"With {sure}, <subject> is classified as <prediction>; its true label is not known.",
                f"<prediction> is the model's answer for <subject>, given with {sure}; its true label is not known.",
                f"The model concludes that <subject> belongs to <prediction>, with {sure}, {{with|and there is}} no "
                "true label to check that against.",
            ]
        case "valued":
            return [
                "<subject> is predicted to have the value <prediction>, {and|while} its true value is <label>.",
                "For <subject>, the model predicts a value of <prediction>; the true value is <label>.",
                "The model's {prediction|estimate} for <subject> is <prediction>, where the true value is <label>.",
                "The true value of <subject> is <label>, and the model predicts <prediction>.",
            ]
        case _:
            return [
                "<subject> is predicted to have the value <prediction>; its true value is not known.",
                "For <subject>, the model predicts a value of <prediction>, {and|while} the true value is not known.",
                "The model's {prediction|estimate} for <subject> is <prediction>; its true value is not known.",
                "The model predicts the value <prediction> for <subject>, with no true value to compare it with.",
            ]


# --- what supports it -----------------------------------------------------------------------------------------------


def _neighbour(rank: int, kind: str, weight: str = "weight ") -> str:
    predicted = f", predicted as <class{rank}>" if kind == "other" else ""
    return f"<near{rank}> ({weight}<weight{rank}>{predicted})"


def support(outline: Outline) -> list[str]:
    count, features = len(outline.near), _features(outline.features)
    if not count and not features:
        return [
            "No connection and no input feature stands out as its support.",
            "Nothing stands out as {its support|what it rests on}, no connection and no input feature.",
            "What it rests on {cannot be narrowed down|is spread out}: no connection or input feature stands out.",
        ]
    if not count:
        return [f"{part}; no connection stands out." for part in map(_capital, features)]
    parts = _neighbours(outline)
    if not features:
        ends = [".", "; none of its input features stands out.", ", and no input feature stands out."]
        return [part + end for part, end in zip(parts, ends * len(parts), strict=False)]
    joints = ["; {}.", ", and {}.", "; {}."]
    return [
        part + joints[number % len(joints)].format(features[number % len(features)])
        for number, part in enumerate(parts)
    ]


def _neighbours(outline: Outline) -> list[str]:
    kinds, count = outline.near, len(outline.near)
    listed = join_words([_neighbour(rank, kind) for rank, kind in enumerate(kinds, start=1)])
    rest = join_words([_neighbour(rank, kind, "") for rank, kind in enumerate(kinds, start=1)][1:])
    alike = ""
    if set(kinds) == {"same"}:
        whom = {1: "which is", 2: "both of which are", 3: "all of which are"}[count]
        alike = f"{{, {whom} predicted as <prediction> too|}}"
    followed = f", followed by {rest}" if rest else ""
    verb = "s" if count == 1 else ""
    if outline.subject != "node":
        return [
            f"{{The prediction|This}} rests {{above all|mainly}} on {listed}",
            f"The support comes {{above all|mainly}} from {listed}",
            f"In the graph, {listed} support{verb} it most",
            f"{_neighbour(1, kinds[0])} counts most in the graph{followed}",
            f"{{Above all|Most of all}}, {listed} support{verb} it in the graph",
        ]
    return [
        f"{{The prediction|This}} rests {{above all|mainly}} on {listed}{alike}",
        f"The {{main support|support}} comes from {listed}{alike}",
        f"Among its neighbours, {listed} support{verb} it most",
        f"{_neighbour(1, kinds[0])} {{counts|matters}} most for this{followed}",
        f"The model drew {{above all|mainly}} on {listed}{alike}",
        f"Of all its connections, {{the one|that}} to {_neighbour(1, kinds[0])} supports it most{followed}",
    ]


def _features(count: int) -> list[str]:
    if not count:
        return []
    listed = join_words([f"<feature{rank}> (weight <share{rank}>)" for rank in range(1, count + 1)])
    if count == 1:
        return [
            f"the input feature that counts most is {listed}",
            f"among its features, {listed} {{matters|counts}} most",
            f"of its own features, {listed} {{weighs|counts}} most",
            f"as for its features, {listed} stands out",
        ]
    return [
        f"the input features that count most are {listed}",
        f"among its features, {listed} {{matter|count}} most",
        f"of its own features, {listed} {{weigh|count}} most",
        f"as for its features, {listed} stand out",
    ]


# --- what would change it -------------------------------------------------------------------------------------------


def change(outline: Outline) -> list[str]:
    what = (
        "strongest supporting connection" if outline.removed == "one" else "<removed> strongest supporting connections"
    )
    them = "it" if outline.removed == "one" else "them"
    they = "the connection that supports" if outline.removed == "one" else "the <removed> connections that support"
    match outline.change:
        case "holds":
            return [
                f"Without its {what}, the model would still predict <prediction>, with <changed_confidence> "
                "confidence.",
                f"It does not hang on its {what}: without {them}, the prediction would still be <prediction>, at "
                "<changed_confidence> confidence.",
                f"Take away {they} it most, and the prediction is still <prediction>, with <changed_confidence> "
                "confidence.",
                f"The prediction holds without its {what}: it is still <prediction>, with a confidence of "
                "<changed_confidence>.",
            ]
        case "flips":
            return [
                f"Without its {what}, the model would predict <changed> instead, with <changed_confidence> confidence.",
                f"It hangs on its {what}: without {them}, the prediction would be <changed>, at <changed_confidence> "
                "confidence.",
                f"Take away {they} it most, and the prediction becomes <changed>, with <changed_confidence> "
                "confidence.",
                f"The prediction does not hold without its {what}: it changes to <changed>, with a confidence of "
                "<changed_confidence>.",
            ]
        case "corrects":
            return [
                f"Without its {what}, the model would predict <changed>, its true label, with <changed_confidence> "
                "confidence.",
                f"Take away {they} it most, and the prediction becomes <changed>, its true label, with "
                "<changed_confidence> confidence.",
                f"It hangs on its {what}: without {them}, the prediction would be <changed>, which is its true label, "
                "at <changed_confidence> confidence.",
            ]
        case _:
            return [
                "What would change this prediction was not measured.",
                "It was not measured what would change this {prediction|answer}.",
                "What this prediction {hangs|depends} on most was not measured.",
            ]


# --- how it was learned ---------------------------------------------------------------------------------------------

CONFLICT = {
    "low": "{it hardly pulled against its neighbours|it was in line with its neighbours}",
    "medium": "{it partly pulled against its neighbours|its conflict with its neighbours was moderate}",
    "high": "{it strongly pulled against its neighbours|it was at odds with its neighbours}",
}
STABILITY = {
    "low": "{its neighbours hardly learned in the same direction|its neighbours learned in different directions}",
    "medium": "its neighbours partly learned in the same direction",
    "high": "{its neighbours mostly learned in the same direction|its neighbours learned in the same direction}",
}
_CONFLICT_SHOWN = " (conflict intensity <psi_conflict>, <place_conflict>)"
_STABILITY_SHOWN = " (trajectory stability <psi_stability>, <place_stability>)"


def learning(outline: Outline) -> list[str]:
    psi = dict(outline.psi)
    conflict, stability = CONFLICT.get(psi.get("conflict", "")), STABILITY.get(psi.get("stability", ""))
    if outline.unknown == "all":
        return [
            "How it was learned is not known, as too little was learned from it.",
            "Nothing can be said of how it was learned{, as too little was learned from it|}.",
            "Its <unknown> are not known, {as too little was learned from it|so how it was learned is not known}.",
        ]
    gap = _unknowns(outline)
    if not conflict and not stability:
        return [f"{_capital(gap)}."] if gap else []
    gap = f"; {gap}" if gap else ""
    told = []
    if conflict:
        told.append((conflict, _CONFLICT_SHOWN))
    if stability:
        told.append((stability, _STABILITY_SHOWN))
    contrast = (psi.get("conflict"), psi.get("stability")) in (("low", "low"), ("high", "high"))
    joint = ", but " if contrast else ", and "
    shown = joint.join(phrase + value for phrase, value in told)
    first = joint.join(phrase + (value if not rank else "") for rank, (phrase, value) in enumerate(told))
    apart = "; ".join(phrase + value for phrase, value in told)
    plain = joint.join(phrase for phrase, _ in told)
    if outline.trial:
        return [
            f"In a trial learning step, as its training was not recorded, {shown}{gap}.",
            f"Its training was not recorded; in a trial learning step, {first}{gap}.",
            f"A trial learning step shows how it would be learned: {apart}{gap}.",
            f"In a trial learning step, {plain}{gap}.",
        ]
    return [
        f"While the model learned, {shown}{gap}.",
        f"During training, {apart}{gap}.",
        f"As for how it was learned: {first}{gap}.",
        f"{{In training|While the model learned}}, {plain}{gap}.",
        f"{{What was recorded in training|The record of its training}} says more: {shown}{gap}.",
    ]


def _unknowns(outline: Outline) -> str:
    match outline.unknown:
        case "one":
            return "its <unknown> is not known{, as too little was learned around it|}"
        case "several":
            return "its <unknown> are not known{, as too little was learned around it|}"
        case _:
            return ""


ROLES = {
    "hub": "a hub, {with many connections and much still to learn|busy with many connections}",
    "bridge": "a bridge, {between groups that learned different things|joining groups that learned different things}",
    "follower": "a follower, {which mostly did what was done around it|doing what was done around it}",
    "outlier": "an outlier, {which fits no pattern of the graph|unlike the patterns of the graph}",
}
TELL = {
    ("influence", "low"): "{its learning signal hardly spread through the graph|its influence on the graph was low}",
    (
        "influence",
        "high",
    ): "{its learning signal spread strongly through the graph|its influence on the graph was high}",
    ("confidence", "low"): "the model's confidence around it was a weak guide to what was learned already",
    ("confidence", "high"): "the model's confidence around it was a strong guide to what was learned already",
    ("receptiveness", "low"): "it would hardly gain from a correction",
    ("receptiveness", "high"): "it would strongly gain from a correction",
}
_TELL_SHOWN = {
    "influence": " (multi-hop influence <psi_influence>, <place_influence>)",
    "confidence": " (confidence-gradient relationship <psi_confidence>, <place_confidence>)",
    "receptiveness": " (correction receptiveness <psi_receptiveness>, <place_receptiveness>)",
}


def role(outline: Outline) -> list[str]:
    psi = dict(outline.psi)
    role = ROLES.get(psi.get("role", ""))
    tell = TELL.get((outline.tell, psi.get(outline.tell, "")))
    if outline.unknown == "all":
        return []
    if role and tell:
        shown = tell + _TELL_SHOWN[outline.tell]
        return [
            f"Its role was that of {role}; {shown}.",
            f"{_capital(shown)}, and its role was that of {role}.",
            f"It acted as {role}, and {tell}.",
            f"Its learning role was that of {role}.",
            f"{_capital(shown)}.",
            f"It played the role of {role}; {tell}.",
        ]
    if role:
        return [
            f"{{Its role was|Its learning role was}} that of {role}.",
            f"It acted as {role}.",
            f"It played the role of {role}.",
        ]
    if tell:
        return [f"{_capital(tell + _TELL_SHOWN[outline.tell])}.", f"{_capital(tell)}."]
    return []


# --- whether to believe it, and what to do --------------------------------------------------------------------------

DOUBTS = {
    "wrong": "the prediction is wrong",
    "validation": "<validation>",
    "low_confidence": "{its|the} confidence is low",
    "medium_confidence": "the confidence is only {medium|moderate}",
    "conflict": "it pulled against its neighbours",
    "instability": "its neighbours learned in different directions",
}


def verdict(outline: Outline) -> list[str]:
    why = join_words([DOUBTS[doubt] for doubt in outline.doubts])
    known = outline.validation is not None and "validation" not in outline.doubts
    match outline.reliability, bool(why):
        case level, True if known:
            return [
                f"Its reliability is {level}, because {why}, although <validation>.",
                f"{{All in all|Taken together}}, its reliability is {level}: {why}, although <validation>.",
                f"While <validation>, there is reason for doubt, as {why}: its reliability is {level}.",
            ]
        case level, False if known:
            return [
                f"Its reliability is {level}, because <validation>.",
                f"{{All in all|Taken together}}, its reliability is {level}, as <validation>.",
                f"Since <validation>, its reliability is {level}.",
                f"Its reliability is {level}: <validation>.",
                f"As <validation>, the reliability of this prediction is {level}.",
            ]
        case "low", _:
            return [
                f"Its reliability is low, because {why}.",
                f"{{All in all|Taken together}}, the reliability of this prediction is low: {why}.",
                f"This prediction is not reliable, because {why}.",
                f"The prediction should not be relied upon, as {why}.",
                f"Its reliability is low: {why}.",
                f"There is reason for doubt, as {why}, so its reliability is low.",
            ]
        case "medium", True:
            return [
                f"Its reliability is medium, because {why}.",
                f"{{All in all|Taken together}}, the reliability of this prediction is medium: {why}.",
                f"Its reliability is {{medium|moderate}}: {why}.",
                f"There is some reason for doubt, as {why}, so its reliability is medium.",
            ]
        case "medium", False:
            return [
                "Its reliability is medium, because nothing speaks against it but not everything about it is known.",
                "Nothing speaks against it, but {too much is open|not everything about it is known}: its reliability "
                "is medium.",
                "{All in all|Taken together}, its reliability is {medium|moderate}, for want of more to judge by.",
            ]
        case "high", _:
            return [
                "Its reliability is high, because neither its confidence nor how it was learned gives reason for "
                "doubt.",
                "{All in all|Taken together}, its reliability is high: nothing gives reason for doubt.",
                "Nothing speaks against this prediction, so its reliability is high.",
                "This prediction is reliable, as far as its confidence and its learning tell.",
                "There is no reason for doubt here, and its reliability is high.",
            ]
        case _:
            return [
                "The reliability of this prediction is not known.",
                "How far it can be relied upon is not known.",
                "Its reliability is not known, for want of anything to judge by.",
            ]


def action(outline: Outline) -> list[str]:
    first = ", <near1> first," if outline.near else ""
    doubts = set(outline.doubts)
    if "wrong" in doubts:
        return [
            "Suggested action: check whether the true label holds, and if it does, correct this prediction.",
            "What to do: check whether the label <label> {really holds|is right}; if so, correct this prediction.",
            "{Check|Find out} first whether the label <label> holds; if it does, have this prediction corrected.",
            "Either its label or this prediction should be corrected: check the label first.",
            "Suggested action: let somebody check the label <label>, and correct this prediction if it holds.",
        ]
    if doubts & {"conflict", "instability"}:
        label = "" if outline.outcome in ("open", "value") else "its label and "
        return [
            f"Suggested action: check {label}its connections before acting on this prediction.",
            f"Suggested action: look at its connections{first} before acting on this prediction.",
            "Before acting on it, check whether its connections {are real|belong there}.",
            f"What to do: check {label}its connections{first.rstrip(',')}.",
            f"{{It is worth|Take}} a look at {label}its connections before anything is decided.",
        ]
    if doubts:
        return [
            "Suggested action: let a person decide before acting on this prediction.",
            "{A person|Somebody} should decide before this prediction is acted on.",
            "What to do: have a person look at it before acting on this prediction.",
            "Suggested action: ask {somebody|a person} who knows the case before acting on this.",
        ]
    return []


def _capital(text: str) -> str:
    """A sentence from a clause; where it starts with a choice, each of its options is one."""
    if not text.startswith("{"):
        return text[0].upper() + text[1:]
    options, rest = text[1:].split("}", 1)
    return "{" + "|".join(map(_capital, options.split("|"))) + "}" + rest
