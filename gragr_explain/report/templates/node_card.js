// The card of a node: the whole explanation of one prediction.

const code = (text) => html("pre", { class: "call" }, html("code", {}, text));

const correctionPart = (row) => {
  if (!isClassified || rows.correct[row] !== false) return null;
  const [node, label] = [rows.id[row], rows.label[row]];
  return section("What to do",
    html("p", {}, "If the label is right, correct the prediction. This makes the model say ", html("b", {}, className(label)), " here, and changes as little else as can be:"),
    code(`gragr-explain edit FOLDER ${node} --label ${data.labelOptions[label]}`),
    html("p", { class: "faint small" }, "FOLDER is the model's. The corrected model goes into a folder beside it, with a page that shows what changed. Or in Python:"),
    code(`gragr_explain.edit(model, data, index=${node}, target=${label})`),
    html("p", {}, rows.seen[row] ? "If the label is wrong, correct it in the data, and train again." : "If the label is wrong, correct it in the data."));
};

// How a psi is distributed over the graph, and where the node lies in it.
const distribution = (psi, value, share) => {
  const { low, high, scale, bars } = psi.distribution;
  const along = scale === "log" ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low);
  const place = Math.min(Math.max(along, 0), 1);
  const own = Math.min(Math.floor(place * bars.length), bars.length - 1);
  const width = 300 / bars.length;
  return svg("svg", { class: `distribution ${psi.tone}`, viewBox: "-4 0 308 52", preserveAspectRatio: "none", role: "img", "aria-label": `${psi.title}: ${number(value)}, ${standing(share)} of the graph's nodes` },
    ...bars.map((height, i) => svg("rect", { class: i === own ? "own" : null, x: (i * width + 0.7).toFixed(1), y: (46 - 0.42 * height - (height ? 1.5 : 0)).toFixed(1), width: (width - 1.4).toFixed(1), height: (0.42 * height + (height ? 1.5 : 0)).toFixed(1) })),
    svg("path", { class: "axis", d: "M0,46.5H300" }),
    svg("path", { class: "here", d: `M${(300 * place).toFixed(1)},2V50` }));
};

const psiPart = (row, i) => {
  const psi = data.psi[i];
  const share = rank(row, i);
  const head = html("div", { class: "psi-head" }, html("b", {}, psi.title));
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
  return html("li", { class: "psi" }, head, distribution(psi, rows.psi[row][i], share),
    html("div", { class: "ends", "aria-hidden": "true" }, html("span", {}, psi.low), html("span", { class: "rank" }, standing(share)), html("span", {}, psi.high)));
};

const featurePart = (row) => {
  const node = rows.id[row];
  if (hasPicture(node)) {
    const plain = html("figure", {}, picture(node, `The picture of ${nodeName(node)}`), html("figcaption", {}, "what the model saw"));
    const marked = html("figure", {}, picture(node, `The picture of ${nodeName(node)}, the pixels that support its ${subjectOfSupport} marked`, evidence(row)), html("figcaption", {}, `what speaks for its ${subjectOfSupport}`));
    return section("The picture", html("div", { class: "pair" }, plain, marked));
  }
  return featureList(row);
};

const nodeLink = (node) => (rowOf.has(node) ? html("a", { href: `#node-${node}` }, nodeName(node)) : nodeName(node));

const neighbourPart = (row) => {
  const { nodes, edges } = rows.graph[row];
  const title = `Neighbours that ${supportIt(row)}`;
  if (!edges.length) return section(title, html("p", { class: "faint" }, noSupport(row, "edge", ": it rests on the node itself")));
  const end = (place) => (place === 0 ? "itself" : nodeLink(nodes[place]));
  const items = edges.map(([source, target, weight]) => html("li", {}, html("span", {}, end(source), " → ", end(target)), ...bar(weight)));
  const seen = [...new Set(nodes.map(predictionOf).filter((value) => value !== null))];
  const key = isClassified ? html("p", { class: "legend" }, ...seen.map((value) => html("span", { class: "key" }, classTag(value)))) : null;
  const others = nodes.slice(1).map((node) => html("li", {}, nodeLink(node), predictionOf(node) === null ? null : [", predicted ", className(predictionOf(node))]));
  return section(title, subgraph(row), key,
    html("details", {}, html("summary", {}, edges.length === 1 ? "The edge and its weight" : `The ${edges.length} edges and their weights`), html("ol", { class: "bars" }, ...items)),
    html("details", {}, html("summary", {}, others.length === 1 ? "The node" : `The ${others.length} nodes and what is predicted for them`), html("ul", { class: "plain" }, ...others)));
};

const influencePart = (row) => {
  if (!data.influences?.[row]) return null;
  const [proponents, opponents] = data.influences[row];
  const list = (title, found) => (found.length ? [html("p", { class: "faint small" }, title),
    html("ol", { class: "bars" }, ...found.map(([node, label, weight]) => html("li", {}, html("span", {}, nodeLink(node), `, labelled ${className(label)}`), ...bar(weight))))] : []);
  return section("Training nodes behind it", html("div", { class: "behind" },
    ...list("Without the labels of these, the model would be less sure of the prediction.", proponents),
    ...list("Without the labels of these, it would be surer of it.", opponents)));
};

const trainingPart = (row) => {
  if (!data.training) return null;
  const { starts, steps, median, confidence } = data.training;
  training.values ??= bytes(confidence);
  const own = starts.map((_, i) => training.values[row * starts.length + i] / 255);
  const path = (values) => values.map((value, i) => `${i ? "L" : "M"}${(400 * i / (values.length - 1)).toFixed(1)},${(100 - 100 * value).toFixed(1)}`).join("");
  const says = `Confidence over the training: from ${percent(own[0])} to ${percent(own.at(-1))}; the graph's median from ${percent(median[0])} to ${percent(median.at(-1))}`;
  return section("Confidence while it trained",
    html("div", { class: "trace" },
      html("div", { class: "trace-axis", "aria-hidden": "true" }, html("span", {}, "100\u00a0%"), html("span", {}, "0")),
      svg("svg", { viewBox: "-2 -4 404 108", preserveAspectRatio: "none", role: "img", "aria-label": says },
        svg("path", { class: "grid", d: "M0,0H400M0,50H400M0,100H400" }),
        svg("path", { class: "median", d: path(median) }), svg("path", { class: "own", d: path(own) }))),
    html("p", { class: "ends" }, html("span", {}, "first step"), html("span", { class: "keys" }, html("i", { class: "own" }), "this node ", html("i", { class: "median" }), "the graph's median"), html("span", {}, `step ${steps}`)));
};
const training = { values: null };

const facts = (row) => {
  const sure = rows.confidence[row];
  const steps = data.conflictSteps?.[row] ?? null;
  return html("dl", { class: "facts" },
    fact("prediction", classTag(rows.prediction[row])),
    fact(rows.seen[row] ? "label, which it was trained on" : "label", verdict(row)),
    sure === null ? null : fact("confidence", percent(sure), html("span", { class: "meter" }, html("i", { style: `--share:${sure}` }))),
    rows.reliability[row] ? fact("reliability", rows.reliability[row], rows.validation[row] ? html("span", { class: "faint" }, ` ${rows.validation[row]}`) : null) : null,
    fact("role", rows.role[row] ?? "not defined"),
    steps ? fact("in conflict", `in ${steps} of ${data.steps} steps`) : null);
};

const card = (node, { heading = "card-title" } = {}) => {
  const row = rowOf.get(node);
  return html("article", { class: "card", "data-card": node, "aria-labelledby": heading },
    html("header", {},
      hasPicture(node) ? picture(node, "") : null,
      html("div", {}, html("h2", { id: heading, tabindex: "-1" }, capital(nodeName(node)), names ? html("small", {}, ` node ${node}`) : null), facts(row))),
    html("section", { class: "rationale" }, html("h3", { class: "hidden" }, "The explanation in words"), html("p", { class: "text" }, rows.rationale[row]), writtenBy(row)),
    html("div", { class: "halves" },
      html("div", {}, correctionPart(row), changePart(row), neighbourPart(row), featurePart(row)),
      html("div", {},
        section("How the model learned it", html("p", { class: "faint small" }, "Where this node lies among all nodes of the graph."),
          html("ul", { class: "psis" }, ...data.psi.map((_, i) => psiPart(row, i))), html("p", { class: "faint small source" }, `What is said of learning was ${data.source}.`)),
        trainingPart(row), influencePart(row))));
};
