// The table of graphs.

const table = makeTable({
  columns: [
    { key: "graph", title: "Graph", value: (row) => rows.id[row], cell: (row) => [html("span", {}, String(rows.id[row]))] },
    ...predictionColumns,
    { key: "nodes", title: "Nodes", value: (row) => rows.nodes[row], cell: (row) => number(rows.nodes[row]) },
    { key: "edges", title: "Edges", value: (row) => rows.edges[row], cell: (row) => number(rows.edges[row]) },
    {
      key: "falls", title: "Falls without", hint: "Without how many of the edges that support it most the prediction would be another",
      value: (row) => (rows.falls[row] ? rows.removed[row] : null),
      cell: (row) => (rows.falls[row] ? `${rows.removed[row]} edge${rows.removed[row] === 1 ? "" : "s"}` : html("span", { class: "faint" }, rows.falls[row] === false ? "stands" : "not measured")),
    },
  ],
  words: (row) => [`graph ${rows.id[row]}`, className(rows.prediction[row]), labelText(row)],
  filters: {
    cls: classFilter,
    wrong: wrongFilter,
    falls: { input: "falls-filter", off: false, keeps: (row) => rows.falls[row] === true },
  },
  by: "graph",
  upwards: ["graph", "prediction", "label", "falls", "sure"],
});
