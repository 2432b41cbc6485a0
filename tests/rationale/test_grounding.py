"""The grounding check: lies of every kind are caught, truthful paraphrases pass."""

from dataclasses import replace

import pytest
from rationale_facts import CONFLICT, LONELY, REGRESSION, STABLE, psi_fact, unknown

from gragr_explain.rationale import ChangeFact, Facts, FeatureFact, NeighbourFact, ValidationFact, check_grounding

UNLABELLED = replace(STABLE, label=None)
ONE_EDGE = replace(STABLE, change=ChangeFact(1, "Neural Networks", 0.52))
UNMEASURED = replace(STABLE, change=None)
ONE_NEIGHBOUR = replace(STABLE, psi=(STABLE.psi[0], unknown("stability"), *STABLE.psi[2:]))
VALIDATED = replace(STABLE, confidence=0.99, label=None, validation=ValidationFact(17, 30))
LIKE_IT = "validation nodes most like this one in confidence and conflict"

TRUTHS = [
    (VALIDATED, f"It should not be relied upon, as the model was right about only 17 of the 30 {LIKE_IT}."),
    (replace(VALIDATED, prediction="validation set"), 'Node 17 is predicted as "validation set".'),
    (VALIDATED, f"Although its confidence is high, the model was right about only 17 of the 30 {LIKE_IT}."),
    (VALIDATED, f"Its reliability is low, as the model was right about 17 of the 30 {LIKE_IT}, so check it."),
    (replace(VALIDATED, validation=ValidationFact(12, 12)), f"Reliable: the model was right about all 12 {LIKE_IT}."),
    (replace(VALIDATED, validation=ValidationFact(0, 12)), f"The model was right about none of the 12 {LIKE_IT}."),
    (STABLE, "Node 17 is predicted as Theory with 93% confidence."),
    (STABLE, "Node 17 is predicted as 'Theory' with a confidence of 93.4 percent."),
    (STABLE, "The model is highly confident (0.93) that node 17 belongs to the class Theory."),
    (STABLE, "The predicted class Theory matches the true label Theory, so the prediction is correct."),
    (STABLE, "The low conflict intensity (0.0252) indicates that its learning is well aligned with its neighbours."),
    (STABLE, "Its conflict intensity is low, at 0.025, and its trajectory stability of 0.98 is high."),
    (STABLE, "Conflict is not high. Stability is not low."),
    (STABLE, "There is no conflict, and learning around it was stable."),
    (STABLE, "The strong multi-hop influence of 261.4 is above 88% of the nodes."),
    (STABLE, "Influence is in the top 12% of the nodes."),
    (STABLE, "Its influence lies in the 88th percentile."),
    (STABLE, "The confidence-gradient relationship of −0.227 is moderate."),
    (STABLE, "It acts as a follower, not a hub."),
    (STABLE, "A correction would change little, as its correction receptiveness is low (0.113)."),
    (STABLE, "It would hardly benefit from a correction."),
    (STABLE, "Node 5 carries the largest weight, 1.0, while node 9 follows with 0.62."),
    (STABLE, "Three neighbours support it, and 2 of its 3 neighbours share the prediction."),
    (STABLE, "Most of its neighbours share its predicted class."),
    (STABLE, "Node 12 is predicted as Neural Networks."),
    (STABLE, 'The 2 features that matter are "learning" (0.91) and feature 88 (0.44).'),
    (STABLE, "The prediction is reliable. If it were wrong, its label should be checked."),
    (STABLE, "A 2-hop neighbourhood of the node was used."),
    (STABLE, "Despite high confidence, the conflict is low."),
    (STABLE, "Node 17 was classified as Theory with high confidence (93%)."),
    (
        STABLE,
        "With a low conflict intensity of 0.0252 and high stability (0.981), it learned in harmony with the others.",
    ),
    (STABLE, 'The model predicts "Theory". Nodes like node 5 and node 9 are both predicted as "Theory".'),
    (STABLE, "Since correction receptiveness is low (0.113), no corrective action is needed."),
    (STABLE, "Theory is the predicted class."),
    (CONFLICT, 'Node 42 was misclassified as "7" instead of its true label "3".'),
    (CONFLICT, "Node 42 is predicted as class 7, but the true class 3 differs."),
    (CONFLICT, "The prediction is not correct. Its confidence of 0.541 is low."),
    (CONFLICT, "The high conflict intensity (1.942) shows that its updates diverge strongly from its neighbours."),
    (CONFLICT, "The low trajectory stability (0.231) shows that its neighbours moved in different directions."),
    (CONFLICT, "Moderate multi-hop influence (48.7) and a bridge role make it a candidate."),
    (CONFLICT, "The prediction is unreliable, so its label and its edges should be checked."),
    (CONFLICT, "It would strongly benefit from a correction (receptiveness 0.8)."),
    (CONFLICT, "The model is unsure, with a probability of 54%."),
    (UNLABELLED, "Whether the prediction is correct is unknown, as the true label is not given."),
    (LONELY, "Its conflict intensity, trajectory stability and learning role are not known."),
    (LONELY, "Nothing can be said of how it was learned."),
    (STABLE, "The model got it right, as the label confirms."),
    (STABLE, "There was little friction with its neighbours, which learned as one."),
    (CONFLICT, 'The model erred on node 42, which it mistook for a "7". It was guessing; best disregard this.'),
    (ONE_NEIGHBOUR, "Its trajectory stability is not known. Its conflict is low."),
    (LONELY, "Nothing is known of its conflict, since conflict intensity is unknown."),
    (REGRESSION, "Graph 3 is predicted to have the value 3.21; the true value is 2.9."),
    (REGRESSION, "The prediction is 3.2, with node 5 at weight 0.3."),
    # what would change: STABLE stays Theory (61%) without 10, CONFLICT becomes 3 (62%) without 3, ONE_EDGE changes
    (STABLE, "Even without its 10 strongest connections, it would still be predicted as Theory (61%)."),
    (STABLE, "Without its ten strongest connections, it would be predicted as Theory with 61.3% confidence."),
    (STABLE, "The prediction holds without its 10 strongest connections: it is still Theory, at 61%."),
    (STABLE, "Removing the 10 strongest edges does not change the prediction; its confidence falls from 93% to 61%."),
    (STABLE, "It does not hang on its 10 strongest connections: without, the prediction would still be Theory."),
    (STABLE, "Take away the 10 connections that support it most, and the prediction stays the same (0.613)."),
    (STABLE, "Its confidence would drop to 61% if its 10 strongest links were cut, but the prediction would remain."),
    (STABLE, "It would not become another class without its 10 strongest edges."),
    (STABLE, "With 93% confidence it is Theory, and without its 10 strongest connections it would still be (61%)."),
    (CONFLICT, 'Without its 3 strongest connections, it would be predicted as "3" (62%), which is its true label.'),
    (CONFLICT, "Node 42 is predicted as 7 (54%), but it would be predicted as 3 (62%) without its 3 strongest edges."),
    (CONFLICT, 'Removing its three strongest connections flips the prediction from "7" to "3".'),
    (CONFLICT, 'Without its 3 strongest connections, the model would predict 3 instead of "7".'),
    (CONFLICT, 'It would no longer be predicted as 7 without its 3 strongest connections, but as "3".'),
    (CONFLICT, 'The prediction is "3" (62%) if its 3 strongest connections are removed.'),
    (CONFLICT, "The prediction does not hold without its 3 strongest connections: it changes to 3, at 62%."),
    (CONFLICT, "It hangs on its 3 strongest supporting connections: without them, the class would be 3."),
    (CONFLICT, 'Without its 3 strongest connections it would be predicted correctly, as "3".'),
    (CONFLICT, "Its confidence would rise from 54% to 62%, for another class, without its 3 strongest connections."),
    (STABLE, "Losing its 10 strongest connections would lower the confidence from 93% to 61%, but not the class."),
    (STABLE, "Removing its 10 strongest connections lowers the confidence to 61%."),
    (STABLE, "Cutting its 10 strongest connections leaves it at Theory (61%)."),
    (CONFLICT, "Without its 3 strongest connections, the prediction would flip to class 3 (62%), its true label."),
    (CONFLICT, 'Cutting the 3 strongest links turns the prediction from "7" into "3".'),
    (CONFLICT, "Check whether connections are missing or should be removed."),
    (ONE_EDGE, "Without its strongest connection, it would be predicted as Neural Networks (52%)."),
    (ONE_EDGE, "It rests on one connection: without it, it would be Neural Networks with low confidence."),
    (ONE_EDGE, "Take away the single connection that supports it most, and the prediction becomes Neural Networks."),
    (UNMEASURED, "What would change this prediction was not measured."),
    (UNMEASURED, "Without some connections the prediction might change, but that is not known."),
    (UNMEASURED, "Check its label and its edges; some of them may be missing."),
    (LONELY, "What would change the prediction is not known."),
]

LIES = [
    (VALIDATED, f"The model was right about only 16 of the 30 {LIKE_IT}.", "count"),
    (VALIDATED, f"The model was right about only 17 of the 20 {LIKE_IT}.", "count"),
    (VALIDATED, f"The model was right about all 30 {LIKE_IT}.", "count"),
    (VALIDATED, "It was right about 17 of the 30 nodes.", "count"),
    (STABLE, f"The model was right about only 17 of the 30 {LIKE_IT}.", "count"),
    (VALIDATED, "Its reliability is high.", "reliability high"),
    (VALIDATED, "The model was right about almost all validation nodes.", "validation"),
    (VALIDATED, "The model was wrong about most validation nodes like this one.", "validation"),
    (STABLE, "The model performs excellently on validation data.", "validation"),
    (VALIDATED, f"It is not the case that the model was right about only 17 of the 30 {LIKE_IT}.", "validation"),
    (VALIDATED, f"After retraining, the model was right about only 17 of the 30 {LIKE_IT}.", "validation"),
    (VALIDATED, f"Without its strongest edge, the model was right about only 17 of the 30 {LIKE_IT}.", "validation"),
    (
        replace(VALIDATED, validation=ValidationFact(28, 30)),
        f"The model was right about only 28 of the 30 {LIKE_IT}.",
        "count",
    ),
    (
        replace(VALIDATED, validation=ValidationFact(17, 30, conflict=False)),
        f"The model was right about only 17 of the 30 {LIKE_IT}.",
        "validation",
    ),
    (STABLE, "Its conflict intensity and learning role are not known.", "conflict intensity is not known"),
    (STABLE, "Its trajectory stability, its learning role and its conflict are not known.", "stability is not known"),
    (STABLE, "How it was learned is not known.", "how it was learned"),
    (STABLE, "Nothing can be said of how it was learned.", "how it was learned"),
    (CONFLICT, "The model got it right: a 7.", "correct"),
    (CONFLICT, "The model nailed node 42.", "correct"),
    (STABLE, "The model confused node 17 with Theory.", "wrong"),
    (STABLE, "The model failed on node 17.", "wrong"),
    (STABLE, "It was only guessing.", "low"),
    (CONFLICT, "There was no friction with its neighbours.", "low"),
    (CONFLICT, "Its neighbours learned as one.", "high"),
    (CONFLICT, "You may safely act on this.", "high"),
    (STABLE, "It is best to disregard this prediction.", "low"),
    # numbers
    (STABLE, "Node 17 is predicted as Theory with 98% confidence.", "98%"),
    (STABLE, "The confidence is 0.95.", "0.95"),
    (STABLE, "Its conflict intensity is 0.981 and its stability 0.0252.", "0.981"),  # swapped
    (STABLE, "Its conflict intensity of 0.26 is low.", "0.26"),
    (STABLE, "Its influence of 2614 is high.", "2614"),
    (STABLE, "Influence is above 95% of the nodes.", "95%"),
    (STABLE, "Influence is below 88% of the nodes.", "88%"),
    (STABLE, "Its relationship of confidence and learning is 0.227.", "0.227"),
    (STABLE, "Node 9 has a weight of 0.3.", "0.3"),  # another neighbour's
    (STABLE, "The feature learning (0.44) matters.", "0.44"),  # another feature's
    (STABLE, "Its conflict is 2.52e-3.", "2.52e-3"),
    (STABLE, "Confidence is ninety percent.", "ninety"),
    (STABLE, "It beats 1,797 others.", "1,797"),
    (CONFLICT, "The confidence is 1.", "1"),  # 0.541 rounds to it, but that is no honest rounding
    (CONFLICT, "Its conflict is 7.", "7"),  # the name of a class is no number
    (REGRESSION, "The predicted value is 2.9.", "2.9"),  # the true one
    (REGRESSION, "The prediction is 3.3.", "3.3"),
    (LONELY, "Its conflict intensity is 0.", "0"),
    # counts
    (STABLE, "It has 5 neighbours.", "5"),
    (STABLE, "All of its neighbours share its prediction.", "neighbours"),
    (STABLE, "3 of its 3 neighbours share the prediction.", "3"),
    (STABLE, "Four features count.", "Four"),
    (STABLE, "No neighbour shares its prediction.", "neighbours"),
    # bands
    (STABLE, "Its conflict intensity is high.", "high"),
    (STABLE, "The high conflict (0.0252) is a concern.", "high"),
    (STABLE, "Conflict is moderate.", "medium"),
    (STABLE, "Its conflict is 0.0252, which is high.", "high"),
    (STABLE, "Its stability is low.", "low"),
    (STABLE, "Learning was unstable around it.", "low"),
    (STABLE, "It strongly pulled against its neighbours.", "high"),
    (STABLE, "Its neighbours learned in different directions.", "low"),
    (STABLE, "It would greatly benefit from a correction.", "high"),
    (STABLE, "Conflict is not low.", "not low"),
    (STABLE, "Its confidence is low.", "low"),
    (STABLE, "The model is uncertain here.", "low"),
    (STABLE, "This prediction is unreliable.", "low"),
    (CONFLICT, "The prediction is reliable.", "high"),
    (CONFLICT, "The prediction can be trusted.", "high"),
    (CONFLICT, "It is aligned with its neighbours.", "low"),
    (CONFLICT, "There is no conflict.", "low"),
    (CONFLICT, "The model is very confident.", "high"),
    (ONE_NEIGHBOUR, "Its trajectory stability is high.", "not known"),
    (LONELY, "Conflict is low.", "not known"),
    # unknown although it is known
    (STABLE, "Its conflict intensity is unknown.", "but it is"),
    (STABLE, "The true label is not known.", "but it is"),
    (STABLE, "The prediction should not be trusted.", "not high"),
    (STABLE, "Do not rely on this prediction.", "not high"),
    (STABLE, "The model lacks confidence.", "low"),
    (STABLE, "Learning was erratic around it.", "low"),
    (STABLE, "It barely influences the graph.", "low"),
    (STABLE, "Its stability is as low as its conflict.", "low"),
    # roles
    (STABLE, "It is a hub of the graph.", "hub"),
    (STABLE, "It is not a follower.", "follower"),
    (CONFLICT, "The node is an outlier.", "outlier"),
    (LONELY, "It is a follower.", "not known"),
    # classes and other names
    (STABLE, "Node 17 is predicted as Neural Networks.", "predicted class"),
    (STABLE, "Node 17 is predicted as Robotics.", "Robotics"),
    (STABLE, "Node 17 is predicted as robotics.", "robotics"),
    (STABLE, "The true label is Neural Networks.", "true label"),
    (STABLE, "Node 12 is predicted as Theory.", "predicted class"),
    (STABLE, 'Its neighbour "Smith et al." matters.', "Smith"),
    (STABLE, "Node 18 is predicted as Theory.", "Node 18"),
    (STABLE, "Node 99 supports it.", "Node 99"),
    (STABLE, "It lies close to Robotics papers.", "Robotics"),
    (CONFLICT, "Node 42 is predicted as 3.", "predicted class"),
    (CONFLICT, "Node 42 is predicted as 5.", "5"),
    (CONFLICT, "The true label is 7.", "true label"),
    (STABLE, "Node 17 belongs to Neural Networks.", "neither"),
    (STABLE, "The model is 93% sure that it is Neural Networks.", "neither"),
    (STABLE, "Robotics is the predicted class.", "Robotics"),
    (STABLE, "Every neighbour is predicted as Theory.", "neighbours"),
    (STABLE, "Only 1 neighbour supports it.", "1 neighbour"),
    # what would change: the number
    (STABLE, "Even without its 5 strongest connections, it would still be predicted as Theory (61%).", "5 strongest"),
    (STABLE, "Without its strongest connection, it would still be predicted as Theory.", "connection"),
    (STABLE, "Without any of its connections, it would still be predicted as Theory.", "connections"),
    (STABLE, "Without more than 10 of its connections, it would still be predicted as Theory.", "10"),
    (STABLE, "Even without its 10 weakest connections, it would still be predicted as Theory.", "connections"),
    (STABLE, "Without both connections, it would still be predicted as Theory.", "both"),
    (STABLE, "Removing the 100 strongest edges does not change the prediction.", "100"),
    (ONE_EDGE, "Without its 3 strongest connections, it would be predicted as Neural Networks (52%).", "3 strongest"),
    (ONE_EDGE, "Without its strongest connections, it would be predicted as Neural Networks (52%).", "connections"),
    (CONFLICT, "It hangs on its strongest connection: without it, it would be predicted as 3.", "connection"),
    # what would change: the class, and whether there is another
    (STABLE, "Without its 10 strongest connections, it would be predicted as Neural Networks (61%).", "class"),
    (STABLE, "Without its 10 strongest connections, it would be predicted as Robotics (61%).", "Robotics"),
    (STABLE, "Without its 10 strongest connections, the prediction becomes robotics.", "robotics"),
    (STABLE, "Without its 10 strongest connections, the prediction would change.", "opposite"),
    (STABLE, "Removing its 10 strongest connections flips the prediction.", "opposite"),
    (STABLE, "It would no longer be predicted as Theory without its 10 strongest connections.", "opposite"),
    (STABLE, "The prediction depends on its 10 strongest connections.", "opposite"),
    (STABLE, "The prediction does not hold without its 10 strongest connections.", "opposite"),
    (CONFLICT, "Even without its 3 strongest connections, it would still be predicted as 7 (62%).", "opposite"),
    (CONFLICT, "Even without its 3 strongest connections, it would be predicted as 7 (62%).", "class"),
    (CONFLICT, "The prediction holds without its 3 strongest connections.", "opposite"),
    (CONFLICT, "Removing its 3 strongest connections does not change the prediction.", "opposite"),
    (CONFLICT, "The prediction would stay the same without its 3 strongest connections.", "opposite"),
    (CONFLICT, "It does not depend on its 3 strongest connections.", "opposite"),
    (CONFLICT, "Without its 3 strongest connections, it would not be predicted as 3.", "class"),
    (CONFLICT, 'Removing its 3 strongest connections changes the prediction from "3" to "7".', "class"),
    (CONFLICT, "It would be 7 if its 3 strongest connections were removed.", "class"),
    (CONFLICT, 'Even a loss of its 3 strongest connections leaves the prediction at "7".', "opposite"),
    (CONFLICT, "If its 3 strongest connections were removed, nothing would change.", "opposite"),
    (STABLE, "The class is lost without its 10 strongest connections.", "opposite"),
    (STABLE, "Without its 10 strongest connections it would be misclassified.", "wrong"),
    (UNMEASURED, "The prediction hangs on its strongest connection.", "not measured"),
    (UNMEASURED, "It would be predicted as Neural Networks without node 5.", "not measured"),
    (CONFLICT, "Without its 3 strongest connections it would be misclassified as 3.", "wrong"),
    (ONE_EDGE, "Without its strongest connection, it would be predicted correctly.", "correct"),
    (ONE_EDGE, "Without its strongest connection, it would be Neural Networks, which is its true label.", "true label"),
    # what would change: the confidence
    (STABLE, "Even without its 10 strongest connections, it would still be predicted as Theory (93%).", "93%"),
    (STABLE, "Even without its 10 strongest connections, it would still be predicted as Theory (16%).", "16%"),
    (STABLE, "Its confidence would fall from 61% to 93% without its 10 strongest connections.", "93%"),
    (STABLE, "Removing its 10 strongest connections lowers the confidence to 16%.", "16%"),
    (STABLE, "Its confidence would rise to 61% without its 10 strongest connections.", "rises"),
    (STABLE, "Without its 10 strongest connections, it would still be Theory with high confidence.", "high"),
    (STABLE, "Node 17 is predicted as Theory (61%).", "61%"),
    (CONFLICT, "Without its 3 strongest connections, it would be predicted as 3 (54%).", "54%"),
    (CONFLICT, "Node 42 is predicted as 3 (62%).", "predicted class"),
    # what would change: what was not measured, and what was
    (STABLE, "Without node 5, it would be predicted as Theory.", "something else"),
    (STABLE, "Without its neighbours, it would still be predicted as Theory.", "something else"),
    (STABLE, 'Without the feature "learning", it would be predicted as Theory.', "something else"),
    (STABLE, "What would change this prediction is not known.", "but it is"),
    (UNMEASURED, "Without its 3 strongest connections, it would be predicted as Theory.", "not measured"),
    (UNMEASURED, "Without its strongest connection, the prediction would change.", "not measured"),
    (UNMEASURED, "A correction would change its prediction.", "not measured"),
    (REGRESSION, "Without its strongest edges, the prediction would be 2.9.", "not measured"),
    # correctness
    (STABLE, "The prediction contradicts the true label.", "wrong"),
    (STABLE, "The prediction is wrong.", "wrong"),
    (STABLE, "Node 17 was misclassified.", "wrong"),
    (STABLE, "The prediction is not correct.", "wrong"),
    (CONFLICT, "The model classifies it correctly.", "correct"),
    (CONFLICT, "The prediction matches the true label.", "correct"),
    (UNLABELLED, "The prediction is correct.", "not known"),
    (REGRESSION, "The prediction is correct.", "not known"),
]


@pytest.mark.parametrize(("facts", "text"), TRUTHS, ids=[text for _, text in TRUTHS])
def test_truthful_paraphrases_pass(facts, text):
    assert check_grounding(text, facts) == ()


@pytest.mark.parametrize(("facts", "text", "named"), LIES, ids=[text for _, text, _ in LIES])
def test_lies_are_caught_and_named(facts, text, named):
    problems = check_grounding(text, facts)
    assert problems
    assert any(named.lower() in problem.lower() for problem in problems), problems


def test_the_papers_own_example_of_a_conflict_node():
    """Appendix B.1 on node 42, the sentences that rest on its context vector."""
    facts = Facts(
        "node 42", "7", 0.541, "3", (*CONFLICT.psi[:3], psi_fact("confidence", -0.227, 0.2), *CONFLICT.psi[4:]),
        "bridge", "training", (), (),
    )  # fmt: skip
    text = (
        "Node 42 represents a misclassified case. The high conflict intensity (1.942) shows that its updates diverge "
        "sharply from its neighbors, while the low trajectory stability (0.231) confirms that surrounding nodes are "
        "also updating in inconsistent directions. Its moderate multi-hop influence (48.7) indicates that these "
        "inconsistencies spill into a local region of the graph. Targeted strategies such as local smoothing could "
        "realign Node 42 with its true label."
    )
    assert check_grounding(text, facts) == ()
    assert check_grounding(text.replace("1.942", "1.492"), facts)


def test_numbers_and_claims_inside_names_are_data():
    facts = replace(
        STABLE,
        neighbours=(NeighbourFact("Smith, J. and Co.: 99% wrong", 0.8, "hub"),),
        features=(FeatureFact("low conflict", 0.5),),
    )
    text = (
        'Support comes from "Smith, J. and Co.: 99% wrong" (0.8, predicted as "hub") '
        'and the feature "low conflict" (0.5).'
    )
    assert check_grounding(text, facts) == ()
    assert check_grounding(text.replace('"', ""), facts)


def test_a_class_called_like_a_number_supports_no_number():
    facts = replace(CONFLICT, neighbours=())
    assert check_grounding("Predicted as 7 with a confidence of 54%.", facts) == ()
    assert check_grounding("Predicted as 7 with a confidence of 7%.", facts)


@pytest.mark.parametrize("text", ["", " \n", "Nothing to say."])
def test_a_text_without_claims_is_grounded(text):
    assert check_grounding(text, STABLE) == ()
