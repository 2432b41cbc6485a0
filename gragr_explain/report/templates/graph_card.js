// The card of a graph: the whole explanation of one prediction.

const supportPart = (row) => {
  const { nodes } = rows.drawing[row];
  const support = rows.support[row];
  const some = nodes ? html("p", { class: "faint small" }, `Drawn are the ${nodes.length} nodes nearest to what supports it, of ${rows.nodes[row].toLocaleString("en")}.`) : null;
  const none = support.length ? null : html("p", { class: "faint" }, noSupport(row, "edge", ": it rests on the nodes"));
  const present = data.kinds === null ? [] : [...new Set(nodes ? nodes.map((node) => kindOf(row, node)) : rows.kind[row])].sort((a, b) => a - b);
  const key = html("p", { class: "legend" }, ...present.map((kind) =>
    html("span", { class: "key" }, html("i", { style: `background:${data.kindColours[kind]}` }), data.kinds[kind])));
  const items = support.map(([source, target, weight]) =>
    html("li", {}, html("span", {}, `${nodeText(row, source)} → ${source === target ? "itself" : nodeText(row, target)}`), ...bar(weight)));
  return section(`Edges that ${supportIt(row)}`, none, wholeGraph(row), key, some, support.length
    ? html("details", {}, html("summary", {}, support.length === 1 ? "The edge and its weight" : `The ${support.length} edges and their weights`), html("ol", { class: "bars" }, ...items)) : null);
};

const graphFacts = (row) => {
  const sure = rows.confidence[row];
  return html("dl", { class: "facts" },
    fact("prediction", classTag(rows.prediction[row])),
    fact("label", verdict(row)),
    sure === null ? null : fact("confidence", percent(sure), html("span", { class: "meter" }, html("i", { style: `--share:${sure}` }))),
    rows.reliability[row] ? fact("reliability", rows.reliability[row]) : null,
    fact("nodes", number(rows.nodes[row])),
    fact("edges", number(rows.edges[row])));
};

const graphCard = (id, { heading = "card-title" } = {}) => {
  const row = rowOf.get(id);
  return html("article", { class: "card", "data-card": id, "aria-labelledby": heading },
    html("header", {}, html("div", {}, html("h2", { id: heading, tabindex: "-1" }, `Graph ${id}`), graphFacts(row))),
    html("section", { class: "rationale" }, html("h3", { class: "hidden" }, "The explanation in words"), html("p", { class: "text" }, rows.rationale[row]), writtenBy(row)),
    html("div", { class: "halves" }, html("div", {}, supportPart(row)), html("div", {}, changePart(row), featureList(row))));
};
