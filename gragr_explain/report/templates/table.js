// The table: all rows are filtered and sorted in memory, one page of them is in the document.

// `columns`: what is shown of a row, the first of them as a link to its card; `words`: what a search looks through, its
// name first; `filters`: by name the input, its value when it is off, and the rows that it keeps; `by`: the column to
// sort by at first; `changed`: told of the ids that are left.
const makeTable = ({ columns, words, filters, by, upwards, changed = () => {} }) => {
  const PAGE = 25;
  const OFF = { query: "", ...Object.fromEntries(Object.entries(filters).map(([name, { off }]) => [name, off])) };
  const state = { ...OFF, key: by, descending: !upwards.includes(by), page: 0 };
  const body = byId("rows");
  let order = [], shown = [], texts = null; // all rows as they are sorted, those that the filters leave, what is searched

  // What a search looks through, made once, before the first is asked for if there is time.
  const read = () => { texts ??= rows.id.map((_, row) => [...words(row), rows.rationale[row]].join("\n").toLowerCase()); };
  const search = (query) => {
    const wanted = query.trim().toLowerCase();
    if (!wanted) return () => true;
    const id = new RegExp(`^(?:${data.subject}\\s*|#)?(\\d+)$`).exec(wanted);
    if (id) return (row) => [String(rows.id[row]), words(row)[0].toLowerCase()].some((name) => name.startsWith(id[1]));
    read();
    return (row) => texts[row].includes(wanted);
  };

  const filter = () => {
    const found = search(state.query);
    const active = Object.entries(filters).filter(([name, { off }]) => state[name] !== off);
    shown = order.filter((row) => active.every(([name, { keeps }]) => keeps(row, state[name])) && found(row));
  };

  const sort = () => {
    order = rows.id.map((_, row) => row);
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

  const cell = (column, row) => (column === columns[0]
    ? html("th", { "data-key": column.key, scope: "row" }, html("a", { href: `#${data.subject}-${rows.id[row]}`, class: "node" }, ...column.cell(row)))
    : html("td", { "data-key": column.key }, column.cell(row)));

  const render = () => {
    const pages = Math.max(1, Math.ceil(shown.length / PAGE));
    state.page = Math.min(state.page, pages - 1);
    const start = state.page * PAGE;
    body.replaceChildren(...shown.slice(start, start + PAGE).map((row) =>
      html("tr", { "data-id": rows.id[row], class: rows.correct[row] === false ? "wrong" : null }, ...columns.map((column) => cell(column, row)))));
    if (!shown.length) {
      body.append(html("tr", {}, html("td", { colspan: columns.length, class: "empty" }, `No ${data.subject} fits these filters.`)));
    }
    const [found, total] = [shown.length, rows.id.length].map((count) => count.toLocaleString("en"));
    byId("count").textContent = shown.length === rows.id.length ? `${total} ${data.subject}s` : `${found} of ${total} ${data.subject}s`;
    byId("clear").hidden = Object.keys(OFF).every((name) => state[name] === OFF[name]);
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
    changed(shown.length < rows.id.length ? new Set(shown.map((row) => rows.id[row])) : null);
  };

  const turn = (key) => {
    const descending = state.key === key ? !state.descending : !upwards.includes(key);
    Object.assign(state, { key, descending, page: 0 });
    sort();
    filter();
    render();
  };

  const isBox = (input) => byId(input).type === "checkbox";

  // No filter, or only the one that is named.
  const only = (name) => {
    byId("query").value = "";
    for (const [own, { input }] of Object.entries(filters)) {
      if (isBox(input)) byId(input).checked = own === name;
      else byId(input).value = "";
    }
    change({ ...OFF, ...(name ? { [name]: true } : {}) });
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
    byId("query").addEventListener("input", (event) => change({ query: event.target.value }));
    for (const [name, { input, options, keeps }] of Object.entries(filters)) {
      const box = isBox(input);
      byId(input).append(...(options ?? []).map(([value, title]) => html("option", { value }, title)));
      byId(input).closest("label").hidden = box ? !rows.id.some((_, row) => keeps(row, true)) : !options.length;
      byId(input).addEventListener("change", (event) => change({ [name]: box ? event.target.checked : event.target.value }));
    }
    byId("clear").addEventListener("click", () => { only(null); byId("query").focus(); });
    byId("previous-page").addEventListener("click", () => { state.page -= 1; render(); });
    byId("next-page").addEventListener("click", () => { state.page += 1; render(); });
    body.addEventListener("keydown", onKey);
    body.addEventListener("click", (event) => {
      const row = event.target.closest("tr[data-id]");
      if (row && !event.target.closest("a")) window.location.hash = `${data.subject}-${row.dataset.id}`;
    });
    sort();
    filter();
    render();
    (window.requestIdleCallback ?? setTimeout)(read);
  };

  // What is `step` places further in the table as it is filtered and sorted now; null at its ends.
  const beside = (id, step) => {
    const place = shown.indexOf(rowOf.get(id));
    const row = place < 0 ? undefined : shown[place + step];
    return row === undefined ? null : rows.id[row];
  };
  return { start, beside, only };
};

// Columns and filters of every table.
const predictionColumns = [
  { key: "prediction", title: "Prediction", value: (row) => (isClassified ? className(rows.prediction[row]) : rows.prediction[row]), cell: (row) => classTag(rows.prediction[row]) },
  { key: "label", title: "Label", value: (row) => (rows.label[row] === null ? null : isClassified ? labelText(row) : rows.label[row]), cell: (row) => (rows.correct[row] === true ? mark(row) : verdict(row)) },
  { key: "sure", title: "Confidence", value: (row) => rows.confidence[row], cell: (row) => meter(rows.confidence[row], rows.confidence[row] === null ? "none" : percent(rows.confidence[row])) },
];
const classFilter = {
  input: "class-filter", off: "", options: data.classes.map((name, value) => [value, name]),
  keeps: (row, value) => rows.prediction[row] === Number(value) || rows.label[row] === Number(value),
};
const wrongFilter = { input: "wrong-filter", off: false, keeps: (row) => rows.correct[row] === false };
