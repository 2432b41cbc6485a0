// The page of many graphs.

startPage({
  card: graphCard,
  title: (id) => `graph ${id}`,
  view: (row) => wholeGraph(row, { small: true }),
  badge: (row) => {
    if (rows.correct[row] === false) return ["wrong", `labelled ${labelText(row)}`];
    if (rows.confidence[row] !== null && rows.confidence[row] < 0.6) return ["", "unsure"];
    return rows.falls[row] ? ["hot", `hangs on ${rows.removed[row]} edge${rows.removed[row] === 1 ? "" : "s"}`] : ["", ""];
  },
});
