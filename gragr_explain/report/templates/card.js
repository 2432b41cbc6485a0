// The card of a node: the whole explanation of one prediction.

const classTag = (value) => (value === null ? html("span", { class: "faint" }, "unknown")
  : html("span", { class: "class" }, isClassified ? html("i", { style: `background:${colourOf(value)}` }) : null, className(value)));

const meter = (share, text, kind = "") => html("span", { class: `meter ${kind} ${share === null ? "none" : ""}` },
  html("i", { style: `--share:${share ?? 0}` }), html("span", {}, text));

const verdict = (row) => {
  if (rows.label[row] === null) return html("span", { class: "faint" }, "unknown");
  const mark = rows.correct[row] === null ? null : rows.correct[row] ? "right" : "wrong";
  return html("span", { class: `verdict ${mark ?? ""}` }, classTag(rows.label[row]),
    mark ? html("span", { class: "mark" }, mark === "right" ? "✓ right" : "✗ wrong") : null);
};

const writtenBy = (row) => {
  if (rows.problems[row] !== null) {
    const why = rows.problems[row].length ? `: ${rows.problems[row].join("; ")}` : "";
    return html("p", { class: "writer replaced" },
      `A language model's text was replaced by the template's, because the explanation does not support it${why}.`);
  }
  return html("p", { class: "writer" }, rows.writer[row] === "llm" ? "Written by a language model and checked against the numbers." : "Written from the numbers by a template.");
};

const psiStrip = (row, i) => {
  const psi = data.psi[i];
  const share = rank(row, i);
  const head = html("div", { class: "psi-head" }, html("b", { title: psi.meaning }, psi.title));
  if (share === null) {
    const why = data.reasons[rows.reason[row][i]];
    return html("li", { class: "psi none" }, head, html("p", {}, `not defined${why ? `: ${why}` : ""}`));
  }
  if (i === ROLE) {
    const chips = data.roles.map((role) => html("span", { class: role.name === rows.role[row] ? "chip on" : "chip", "aria-hidden": role.name === rows.role[row] ? null : "true" }, role.name));
    const meaning = data.roles.find((role) => role.name === rows.role[row])?.meaning;
    return html("li", { class: "psi" }, head, html("div", { class: "chips" }, ...chips), html("p", {}, meaning ?? ""));
  }
  head.append(html("span", { class: "value" }, number(rows.psi[row][i])));
  return html("li", { class: "psi" }, head,
    html("div", { class: `strip ${psi.tone}`, role: "img", "aria-label": `${standing(share)} of the graph's nodes` }, html("i", { style: `--share:${share}` })),
    html("div", { class: "ends", "aria-hidden": "true" }, html("span", {}, psi.low), html("span", { class: "rank" }, standing(share)), html("span", {}, psi.high)));
};

const featureBars = (row) => {
  const list = rows.features[row];
  if (!list.length) return html("p", { class: "faint" }, "No single feature supports this prediction.");
  return html("ol", { class: "bars" }, ...list.slice(0, 10).map(([feature, weight]) =>
    html("li", {}, html("span", {}, featureName(feature)), html("i", { style: `--share:${weight}` }), html("b", {}, number(weight)))));
};

const featurePart = (row) => {
  const node = rows.node[row];
  if (!hasPicture(node)) return html("section", {}, html("h3", {}, "Features that support it"), featureBars(row));
  const plain = html("figure", {}, picture(node, `The picture of node ${node}`), html("figcaption", {}, "what the model saw"));
  const marked = html("figure", {}, picture(node, `The picture of node ${node}, the pixels that support its prediction marked`, evidence(row)), html("figcaption", {}, "what speaks for its prediction"));
  return html("section", {}, html("h3", {}, "The picture"), html("div", { class: "pair" }, plain, marked));
};

const neighbourPart = (row) => {
  const { nodes, edges } = rows.graph[row];
  if (!edges.length) return html("section", {}, html("h3", {}, "Neighbours that support it"), html("p", { class: "faint" }, "No edge supports this prediction: it rests on the node itself."));
  const link = (place) => (place === 0 ? "itself" : rowOf.has(nodes[place]) ? html("a", { href: `#node-${nodes[place]}` }, `node ${nodes[place]}`) : `node ${nodes[place]}`);
  const items = edges.map(([source, target, weight]) => html("li", {}, html("span", {}, link(source), " → ", link(target)), html("i", { style: `--share:${weight}` }), html("b", {}, number(weight))));
  return html("section", {}, html("h3", {}, "Neighbours that support it"), subgraph(row),
    html("details", {}, html("summary", {}, edges.length === 1 ? "The edge and its weight" : `The ${edges.length} edges and their weights`), html("ol", { class: "bars" }, ...items)));
};

const trainingPart = (row) => {
  if (!data.training) return null;
  const { starts, steps, median, confidence } = data.training;
  training.values ??= bytes(confidence);
  const own = starts.map((_, i) => training.values[row * starts.length + i] / 255);
  const path = (values) => values.map((value, i) => `${i ? "L" : "M"}${(400 * i / (values.length - 1)).toFixed(1)},${(100 - 100 * value).toFixed(1)}`).join("");
  const says = `Confidence over the training: from ${percent(own[0])} to ${percent(own.at(-1))}; the graph's median from ${percent(median[0])} to ${percent(median.at(-1))}`;
  return html("section", {}, html("h3", {}, "Confidence while it trained"),
    html("div", { class: "trace" },
      html("div", { class: "trace-axis", "aria-hidden": "true" }, html("span", {}, "100\u00a0%"), html("span", {}, "0")),
      svg("svg", { viewBox: "-2 -4 404 108", preserveAspectRatio: "none", role: "img", "aria-label": says },
        svg("path", { class: "grid", d: "M0,0H400M0,50H400M0,100H400" }),
        svg("path", { class: "median", d: path(median) }), svg("path", { class: "own", d: path(own) }))),
    html("p", { class: "ends" }, html("span", {}, "first step"), html("span", { class: "keys" }, html("i", { class: "own" }), "this node", html("i", { class: "median" }), "the graph's median"), html("span", {}, `step ${steps}`)));
};
const training = { values: null };

const card = (node, { heading = "card-title" } = {}) => {
  const row = rowOf.get(node);
  const sure = rows.confidence[row];
  return html("article", { class: "card", "data-card": node },
    html("header", {},
      hasPicture(node) ? picture(node, "") : null,
      html("div", {},
        html("h2", { id: heading, tabindex: "-1" }, `Node ${node}`),
        html("dl", { class: "facts" },
          html("div", {}, html("dt", {}, "prediction"), html("dd", {}, classTag(rows.prediction[row]))),
          html("div", {}, html("dt", {}, "label"), html("dd", {}, verdict(row))),
          sure === null ? null : html("div", {}, html("dt", {}, "confidence"), html("dd", {}, percent(sure), html("span", { class: "meter" }, html("i", { style: `--share:${sure}` })))),
          html("div", {}, html("dt", {}, "role"), html("dd", {}, rows.role[row] ?? "not defined"))))),
    html("section", { class: "rationale" }, html("blockquote", {}, rows.rationale[row]), writtenBy(row)),
    html("div", { class: "halves" },
      html("div", {}, neighbourPart(row), featurePart(row)),
      html("div", {},
        html("section", {}, html("h3", {}, "How the model learned it"),
          html("ul", { class: "psis" }, ...data.psi.map((_, i) => psiStrip(row, i))), html("p", { class: "faint source" }, `Gradients ${data.source}.`)),
        trainingPart(row))));
};
