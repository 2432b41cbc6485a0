// What the cards of nodes and of graphs have in common.

const classTag = (value) => (value === null ? html("span", { class: "faint" }, "unknown")
  : html("span", { class: "class" }, isClassified ? html("i", { style: `background:${colourOf(value)}` }) : null, html("span", {}, className(value))));

const meter = (share, text, kind = "") => html("span", { class: `meter ${kind} ${share === null ? "none" : ""}` },
  html("i", { style: `--share:${share ?? 0}` }), html("span", {}, text));

const mark = (row) => (rows.correct[row] === null ? null
  : html("span", { class: `mark ${rows.correct[row] ? "right" : "wrong"}` }, rows.correct[row] ? "✓ right" : "✗ wrong"));

const verdict = (row) => (rows.label[row] === null ? html("span", { class: "faint" }, "unknown")
  : html("span", { class: "verdict" }, classTag(rows.label[row]), mark(row)));

const section = (title, ...children) => html("section", {}, html("h3", {}, title), ...children);

const writtenBy = (row) => {
  if (rows.problems[row] !== null) {
    const why = rows.problems[row].length ? `: ${rows.problems[row].join("; ")}` : "";
    return html("p", { class: "writer replaced" },
      `A language model's text was replaced by the template's, because the explanation does not support it${why}.`);
  }
  return html("p", { class: "writer" }, rows.writer[row] === "llm" ? "Written by a language model and checked against the numbers." : "Written from the numbers by a template.");
};

const changePart = (row) => {
  if (rows.change[row] === null) return null;
  const [removed, prediction, sure] = rows.change[row];
  const without = removed === 1 ? "Without the one connection that supports it most" : `Without the ${removed} connections that support it most`;
  const changes = prediction !== className(rows.prediction[row]);
  const says = changes && sure < 0.5
    ? [`${without}, the model would be at a loss: its best guess would be `, html("b", {}, prediction), `, ${percent(sure)} sure.`]
    : changes
    ? [`${without}, the model would say `, html("b", {}, prediction), ` instead, and be ${percent(sure)} sure of it.`]
    : [`${without}, the model would still say `, html("b", {}, prediction), `, and be ${percent(sure)} sure of it. The prediction does not hang on them alone.`];
  return section("What would change it", html("p", { class: "change" }, ...says));
};

const bar = (weight) => [html("i", { style: `--share:${weight}` }), html("b", {}, number(weight))];

const featureList = (row) => {
  const list = rows.features[row];
  const title = `Features that ${supportIt(row)}`;
  if (!list.length) return section(title, html("p", { class: "faint" }, noSupport(row, "single feature")));
  return section(title,
    html("ol", { class: "bars" }, ...list.slice(0, 10).map(([feature, weight]) => html("li", {}, html("span", {}, featureName(feature)), ...bar(weight)))));
};

const fact = (name, ...value) => html("div", {}, html("dt", {}, name), html("dd", {}, ...value));
