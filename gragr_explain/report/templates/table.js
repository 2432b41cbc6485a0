// The table: all rows are filtered and sorted in memory, one page of them is in the document.

const table = (() => {
  const PAGE = 25;
  const NO_FILTERS = { query: "", cls: "", role: "", wrong: false, conflict: false };
  const UPWARDS = ["node", "prediction", "label", "role"];
  const state = { ...NO_FILTERS, key: null, descending: true, page: 0 };
  const body = byId("rows");
  let order = [], shown = [], texts = null; // all rows as they are sorted, those that the filters leave, what is searched

  const psiColumn = (name) => {
    const psi = data.psi.findIndex((item) => item.name === name);
    return {
      key: name, title: data.psi[psi].title, value: (row) => rank(row, psi), hint: `${data.psi[psi].title}: how many of the graph's nodes have less`,
      cell: (row) => meter(rank(row, psi), rank(row, psi) === null ? "none" : percent(rank(row, psi)), data.psi[psi].tone),
    };
  };
  const columns = [
    { key: "node", title: "Node", value: (row) => rows.node[row], cell: (row) => nodeCell(row) },
    { key: "prediction", title: "Prediction", value: (row) => (isClassified ? className(rows.prediction[row]) : rows.prediction[row]), cell: (row) => classTag(rows.prediction[row]) },
    { key: "label", title: "Label", value: (row) => (rows.label[row] === null ? null : isClassified ? labelText(row) : rows.label[row]), cell: (row) => (rows.correct[row] === true ? mark(row) : verdict(row)) },
    { key: "sure", title: "Confidence", value: (row) => rows.confidence[row], cell: (row) => meter(rows.confidence[row], rows.confidence[row] === null ? "none" : percent(rows.confidence[row])) },
    psiColumn("conflict"), psiColumn("stability"), psiColumn("influence"), psiColumn("receptiveness"),
    { key: "role", title: "Role", value: (row) => rows.role[row], cell: (row) => rows.role[row] ?? html("span", { class: "faint" }, "none") },
  ];

  const nodeCell = (row) => {
    const node = rows.node[row];
    return html("a", { href: `#node-${node}`, class: "node" },
      hasPicture(node) ? picture(node, "") : null, html("span", {}, names ? `${node} ${nodeName(node)}` : String(node)));
  };
  // What a search looks through, made once, before the first is asked for if there is time.
  const read = () => {
    texts ??= rows.node.map((node, row) => [nodeName(node), className(rows.prediction[row]), labelText(row), rows.role[row] ?? "", rows.rationale[row]].join("\n").toLowerCase());
  };
  const search = (query) => {
    const words = query.trim().toLowerCase();
    if (!words) return () => true;
    const id = /^(?:node\s*|#)?(\d+)$/.exec(words);
    if (id) return (row) => String(rows.node[row]).startsWith(id[1]);
    read();
    return (row) => texts[row].includes(words);
  };

  const filter = () => {
    const found = search(state.query);
    const cls = state.cls === "" ? null : Number(state.cls);
    shown = order.filter((row) =>
      (!state.wrong || rows.correct[row] === false)
      && (!state.conflict || rows.conflicts[row] === true)
      && (cls === null || rows.prediction[row] === cls || rows.label[row] === cls)
      && (!state.role || rows.role[row] === state.role)
      && found(row));
  };

  const sort = () => {
    order = rows.node.map((node, row) => row);
    const column = columns.find((item) => item.key === state.key);
    const values = order.map(column.value);
    const sign = state.descending ? -1 : 1;
    order.sort((a, b) => {
      const [left, right] = [values[a], values[b]];
      if (left === right) return a - b;
      if (left === null) return 1;
      if (right === null) return -1;
      return left < right ? -sign : sign;
    });
  };

  const cell = (column, row) => html(column.key === "node" ? "th" : "td", { "data-key": column.key, scope: column.key === "node" ? "row" : null }, column.cell(row));

  const render = () => {
    const pages = Math.max(1, Math.ceil(shown.length / PAGE));
    state.page = Math.min(state.page, pages - 1);
    const start = state.page * PAGE;
    body.replaceChildren(...shown.slice(start, start + PAGE).map((row) =>
      html("tr", { "data-node": rows.node[row], class: rows.correct[row] === false ? "wrong" : null }, ...columns.map((column) => cell(column, row)))));
    if (!shown.length) {
      body.append(html("tr", {}, html("td", { colspan: columns.length, class: "empty" }, "No node fits these filters.")));
    }
    const [found, total] = [shown.length, rows.node.length].map((count) => count.toLocaleString("en"));
    const isFiltered = Object.keys(NO_FILTERS).some((name) => state[name] !== NO_FILTERS[name]);
    byId("count").textContent = shown.length === rows.node.length ? `${total} nodes` : `${found} of ${total} nodes`;
    byId("clear").hidden = !isFiltered;
    byId("page-number").textContent = `page ${(state.page + 1).toLocaleString("en")} of ${pages.toLocaleString("en")}`;
    byId("previous-page").disabled = state.page === 0;
    byId("next-page").disabled = state.page === pages - 1;
    for (const heading of byId("columns").children) {
      const isSorted = heading.dataset.key === state.key;
      heading.setAttribute("aria-sort", isSorted ? (state.descending ? "descending" : "ascending") : "none");
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
    const descending = state.key === key ? !state.descending : !UPWARDS.includes(key);
    Object.assign(state, { key, descending, page: 0 });
    sort();
    filter();
    render();
  };

  // No filter, or only the one that is named.
  const only = (name) => {
    byId("query").value = byId("class-filter").value = byId("role-filter").value = "";
    byId("wrong-filter").checked = name === "wrong";
    byId("conflict-filter").checked = name === "conflict";
    change({ ...NO_FILTERS, ...(name ? { [name]: true } : {}) });
  };

  // Up, Down, Home and End lead from row to row, and on to the next page.
  const onKey = (event) => {
    const links = [...body.querySelectorAll("a.node")];
    const place = links.indexOf(event.target);
    if (place < 0) return;
    const goal = { ArrowDown: place + 1, ArrowUp: place - 1, Home: 0, End: links.length - 1 }[event.key];
    if (goal === undefined) return;
    event.preventDefault();
    if (links[goal]) { links[goal].focus(); return; }
    const page = state.page + Math.sign(goal - place);
    if (page < 0 || page * PAGE >= shown.length) return;
    state.page = page;
    render();
    [...body.querySelectorAll("a.node")].at(goal < 0 ? -1 : 0).focus();
  };

  const start = () => {
    byId("columns").append(...columns.map((column) => {
      const button = html("button", { type: "button", title: column.hint }, column.title);
      button.addEventListener("click", () => turn(column.key));
      return html("th", { scope: "col", "data-key": column.key }, button);
    }));
    byId("class-field").hidden = !isClassified;
    byId("class-filter").append(...data.classes.map((name, value) => html("option", { value }, name)));
    byId("role-filter").append(...data.roles.map((role) => html("option", { value: role.name }, role.name)));
    byId("wrong-field").hidden = !rows.correct.includes(false);
    byId("conflict-field").hidden = !rows.conflicts.includes(true);
    byId("query").addEventListener("input", (event) => change({ query: event.target.value }));
    byId("class-filter").addEventListener("change", (event) => change({ cls: event.target.value }));
    byId("role-filter").addEventListener("change", (event) => change({ role: event.target.value }));
    byId("wrong-filter").addEventListener("change", (event) => change({ wrong: event.target.checked }));
    byId("conflict-filter").addEventListener("change", (event) => change({ conflict: event.target.checked }));
    byId("clear").addEventListener("click", () => { only(null); byId("query").focus(); });
    byId("previous-page").addEventListener("click", () => { state.page -= 1; render(); });
    byId("next-page").addEventListener("click", () => { state.page += 1; render(); });
    body.addEventListener("keydown", onKey);
    body.addEventListener("click", (event) => {
      const row = event.target.closest("tr[data-node]");
      if (row && !event.target.closest("a")) window.location.hash = `node-${row.dataset.node}`;
    });
    state.key = "conflict";
    sort();
    filter();
    render();
    (window.requestIdleCallback ?? setTimeout)(read);
  };

  // The node `step` places further in the table as it is filtered and sorted now; null at its ends.
  const beside = (node, step) => {
    const place = shown.indexOf(rowOf.get(node));
    const row = place < 0 ? undefined : shown[place + step];
    return row === undefined ? null : rows.node[row];
  };
  return { start, beside, only };
})();
