// The table: all rows are filtered and sorted in memory, one page of them is in the document.

const table = (() => {
  const PAGE = 25;
  const state = { query: "", cls: "", role: "", wrong: false, key: null, descending: true, page: 0 };
  let shown = rows.node.map((_, row) => row);
  let texts = null;

  const psiColumn = (name) => {
    const psi = data.psi.findIndex((item) => item.name === name);
    return {
      key: name, title: data.psi[psi].title, value: (row) => rank(row, psi), hint: `${data.psi[psi].title}, by rank in the graph`,
      cell: (row) => meter(rank(row, psi), rank(row, psi) === null ? "not defined" : percent(rank(row, psi)), data.psi[psi].tone),
    };
  };
  const columns = [
    { key: "node", title: "Node", value: (row) => rows.node[row], cell: (row) => nodeCell(row) },
    { key: "prediction", title: "Prediction", value: (row) => (isClassified ? className(rows.prediction[row]) : rows.prediction[row]), cell: (row) => classTag(rows.prediction[row]) },
    { key: "label", title: "Label", value: (row) => (rows.label[row] === null ? null : isClassified ? labelText(row) : rows.label[row]), cell: (row) => verdict(row) },
    { key: "sure", title: "Confidence", value: (row) => rows.confidence[row], cell: (row) => meter(rows.confidence[row], rows.confidence[row] === null ? "none" : percent(rows.confidence[row])) },
    psiColumn("conflict"), psiColumn("stability"), psiColumn("influence"), psiColumn("receptiveness"),
    { key: "role", title: "Role", value: (row) => rows.role[row], cell: (row) => rows.role[row] ?? html("span", { class: "faint" }, "not defined") },
  ];

  const nodeCell = (row) => html("a", { href: `#node-${rows.node[row]}`, class: "node" },
    hasPicture(rows.node[row]) ? picture(rows.node[row], "") : null, String(rows.node[row]));
  const search = (query) => {
    const words = query.trim().toLowerCase();
    if (!words) return () => true;
    const id = /^(?:node\s*|#)?(\d+)$/.exec(words);
    if (id) return (row) => String(rows.node[row]).startsWith(id[1]);
    texts ??= rows.node.map((_, row) => [className(rows.prediction[row]), labelText(row), rows.role[row] ?? "", rows.rationale[row]].join("\n").toLowerCase());
    return (row) => texts[row].includes(words);
  };

  const filter = () => {
    const found = search(state.query);
    const cls = state.cls === "" ? null : Number(state.cls);
    shown = [];
    for (let row = 0; row < rows.node.length; row += 1) {
      if (state.wrong && rows.correct[row] !== false) continue;
      if (cls !== null && rows.prediction[row] !== cls && rows.label[row] !== cls) continue;
      if (state.role && rows.role[row] !== state.role) continue;
      if (found(row)) shown.push(row);
    }
    sort();
  };

  const sort = () => {
    const column = columns.find((item) => item.key === state.key);
    if (!column) return;
    const values = new Map(shown.map((row) => [row, column.value(row)]));
    const sign = state.descending ? -1 : 1;
    shown.sort((a, b) => {
      const [left, right] = [values.get(a), values.get(b)];
      if (left === right) return a - b;
      if (left === null) return 1;
      if (right === null) return -1;
      return left < right ? -sign : sign;
    });
  };

  const render = () => {
    const pages = Math.max(1, Math.ceil(shown.length / PAGE));
    state.page = Math.min(state.page, pages - 1);
    const start = state.page * PAGE;
    byId("rows").replaceChildren(...shown.slice(start, start + PAGE).map((row) =>
      html("tr", { "data-node": rows.node[row], class: rows.correct[row] === false ? "wrong" : null },
        ...columns.map((column) => html("td", { "data-key": column.key }, column.cell(row))))));
    if (!shown.length) {
      byId("rows").append(html("tr", {}, html("td", { colspan: columns.length, class: "empty" }, "No node fits these filters.")));
    }
    const [found, total] = [shown.length, rows.node.length].map((count) => count.toLocaleString("en"));
    byId("count").textContent = shown.length === rows.node.length ? `${total} nodes` : `${found} of ${total} nodes`;
    byId("page-number").textContent = `page ${state.page + 1} of ${pages}`;
    byId("previous-page").disabled = state.page === 0;
    byId("next-page").disabled = state.page === pages - 1;
    for (const cell of byId("columns").children) {
      const isSorted = cell.dataset.key === state.key;
      if (isSorted) cell.setAttribute("aria-sort", state.descending ? "descending" : "ascending");
      else cell.removeAttribute("aria-sort");
    }
  };

  const change = (changes) => {
    Object.assign(state, { page: 0 }, changes);
    filter();
    render();
    const kept = new Set(shown.map((row) => rows.node[row]));
    const isFiltered = shown.length < rows.node.length;
    map.show(isFiltered ? (node) => kept.has(node) : () => true);
  };

  const turn = (key) => {
    const descending = state.key === key ? !state.descending : !["node", "prediction", "label", "role"].includes(key);
    Object.assign(state, { key, descending, page: 0 });
    sort();
    render();
  };

  const start = () => {
    byId("columns").append(...columns.map((column) => {
      const button = html("button", { type: "button", title: column.hint ?? column.title }, column.title);
      button.addEventListener("click", () => turn(column.key));
      return html("th", { scope: "col", "data-key": column.key }, button);
    }));
    byId("class-field").hidden = !isClassified;
    byId("class-filter").append(...data.classes.map((name, value) => html("option", { value }, name)));
    byId("role-filter").append(...data.roles.map((role) => html("option", { value: role.name }, role.name)));
    byId("wrong-field").hidden = !rows.correct.includes(false);
    byId("query").addEventListener("input", (event) => change({ query: event.target.value }));
    byId("class-filter").addEventListener("change", (event) => change({ cls: event.target.value }));
    byId("role-filter").addEventListener("change", (event) => change({ role: event.target.value }));
    byId("wrong-filter").addEventListener("change", (event) => change({ wrong: event.target.checked }));
    byId("previous-page").addEventListener("click", () => { state.page -= 1; render(); });
    byId("next-page").addEventListener("click", () => { state.page += 1; render(); });
    byId("rows").addEventListener("click", (event) => {
      const row = event.target.closest("tr[data-node]");
      if (row && !event.target.closest("a")) window.location.hash = `node-${row.dataset.node}`;
    });
    state.key = "conflict";
    sort();
    render();
  };

  // The node `step` places further in the table as it is filtered and sorted now; null at its ends.
  const beside = (node, step) => {
    const place = shown.indexOf(rowOf.get(node));
    const row = place < 0 ? undefined : shown[place + step];
    return row === undefined ? null : rows.node[row];
  };
  return { start, beside };
})();
