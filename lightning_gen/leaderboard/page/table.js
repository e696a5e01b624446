// One table at a time: what is shown of it is a function of `state`.

const state = { table: 0, sort: "rank", down: false, search: "", family: "", kinds: "all", hidden: new Set(), extra: new Set(), open: new Set(), chosen: [] };
const MOST_CHOSEN = 3;
const LINES = 100; // at first, and more whenever the end comes near: a thousand at once take a second
const NARROW = 720; // pixels, as in page.css: room for the model and its score
let waiting = [];
const table = () => DATA.tables[state.table];
const columnOf = (id) => table().columns.find((column) => column.id === id);
const nameOf = (row) => row.model + (["best", "last"].includes(row.kind) ? "" : ` (${row.kind})`);

function mainScore(row, id) {
  return (row.scores[row.kind] || {})[id] || (row.scores.last || {})[id];
}

function scoreCell(row, id) {
  const score = mainScore(row, id);
  if (!score) return { sort: null, text: "" };
  return { sort: score.value, text: score.text, below: score.kind, title: [score.uncertainty && `± is the ${score.uncertainty}`, ...(score.notes || [])].filter(Boolean).join("; ") };
}

function lastCell(row, id) {
  const last = (row.scores.last || {})[id];
  const best = (row.scores.best || {})[id];
  if (!last) return { sort: null, text: "" };
  return { sort: last.value, text: best && best.value === last.value ? "same" : last.text };
}

function seedsCell(row, id) {
  const seeds = row.seeds[id];
  return seeds ? { sort: seeds.mean, text: seeds.text, below: `${seeds.seeds.length} seeds`, title: `mean ± standard deviation of seeds ${seeds.seeds.join(", ")}` } : { sort: null, text: "" };
}

const plain = ([sort, text]) => ({ sort, text });
const words = (text) => ({ sort: text.toLowerCase(), text });

function columns() {
  const { ranked_by: ranked, columns: scores } = table();
  const usual = new Set(scores.filter((column) => column.usual).map((column) => column.id));
  const scoreColumns = scores.flatMap((column) => {
    const own = { id: `s${column.id}`, label: column.label, below: column.floor_text && `floor ${column.floor_text}`, numeric: true, higher: column.better === "higher", title: `${column.better} is better`, cell: (row) => scoreCell(row, column.id), optional: column.id !== ranked, usual: usual.has(column.id) };
    if (column.id !== ranked) return [own];
    const last = { id: "last", label: "last", below: "checkpoint", numeric: true, higher: own.higher, cell: (row) => lastCell(row, ranked), optional: true, usual: table().rows.some(([, id]) => DATA.rows[id].kind !== "last" && DATA.rows[id].scores.last) };
    const seeds = { id: "seeds", label: "over seeds", below: "mean ± std", numeric: true, higher: own.higher, cell: (row) => seedsCell(row, ranked), optional: true, usual: DATA.rows.some((row) => row.seeds[ranked]) };
    return [own, last, seeds];
  });
  return [
    { id: "rank", label: "#", numeric: true, cell: (row, rank) => ({ sort: rank, text: rank === null ? "–" : String(rank) }) },
    { id: "model", label: "model", cell: (row) => ({ ...words(nameOf(row)), below: row.config, badge: row.collapsed }) },
    { id: "family", label: "family", cell: (row) => words(row.family), optional: true, usual: innerWidth > NARROW },
    ...scoreColumns,
    { id: "parameters", label: "parameters", numeric: true, cell: (row) => plain(row.parameters), optional: true, usual: true },
    { id: "images", label: "images seen", numeric: true, cell: (row) => plain(row.images), optional: true, usual: true },
    { id: "hours", label: "device-hours", numeric: true, cell: (row) => plain(row.hours), optional: true, usual: true },
    { id: "speed", label: "samples/s", numeric: true, higher: true, cell: (row) => plain(row.speed), optional: true, usual: true },
    { id: "seed", label: "seed", numeric: true, cell: (row) => ({ sort: row.seed, text: String(row.seed) }), optional: true, usual: false },
    { id: "date", label: "date (UTC)", cell: (row) => plain(row.date), optional: true, usual: true, higher: true },
    { id: "wandb", label: "W&B", cell: (row) => ({ sort: row.wandb.id, text: row.wandb.url ? "" : row.wandb.id || "", link: row.wandb.url }), optional: true, usual: DATA.rows.some((row) => row.wandb.url || row.wandb.id) },
    { id: "run", label: "run", cell: (row) => words(row.run), optional: true, usual: true },
  ];
}

const isShown = (column) => !column.optional || (column.usual ? !state.hidden.has(column.id) : state.extra.has(column.id));

function matches(row, rank) {
  const text = `${nameOf(row)} ${row.family} ${row.config} ${row.run} ${row.machine} seed ${row.seed}`.toLowerCase();
  const kinds = { all: true, ranked: rank !== null, sound: !row.collapsed, collapsed: Boolean(row.collapsed) };
  return kinds[state.kinds] && (!state.family || row.family === state.family) && state.search.toLowerCase().split(/\s+/).every((word) => text.includes(word));
}

function visibleRows() {
  return table().rows.filter(([rank, id]) => matches(DATA.rows[id], rank));
}

// What a row has not comes last, whichever way is up.
function sorted(rows, column) {
  const keyed = rows.map(([rank, id], place) => [column.cell(DATA.rows[id], rank).sort, place, rank, id]);
  const sign = state.down ? -1 : 1;
  keyed.sort(([a, i], [b, j]) => (a === b ? i - j : a === null || a === undefined ? 1 : b === null || b === undefined ? -1 : a < b ? -sign : sign));
  return keyed.map(([, , rank, id]) => [rank, id]);
}

function headCell(column) {
  const isSorted = state.sort === column.id;
  const button = el("button", { type: "button", onclick: () => sortBy(column), title: column.title }, column.label, el("span", { class: "arrow", "aria-hidden": "true" }, isSorted ? (state.down ? "▼" : "▲") : ""));
  return el("th", { scope: "col", class: column.numeric ? "number" : null, "data-column": column.id, "aria-sort": isSorted ? (state.down ? "descending" : "ascending") : null }, button, column.below ? el("small", {}, column.below) : null);
}

function sortBy(column) {
  state.down = state.sort === column.id ? !state.down : Boolean(column.higher);
  state.sort = column.id;
  renderTable();
}

function bodyCell(column, row, rank) {
  const { text, below, title, badge, link } = column.cell(row, rank);
  const cell = document.createElement("td");
  if (column.numeric) cell.className = "number";
  if (title) cell.title = title;
  cell.append(link ? external("open", link) : text);
  if (badge) cell.append(el("mark", { title: badge }, "collapsed"));
  if (below) cell.append(el("small", {}, below));
  return cell;
}

function bodyRow(rank, id, shown) {
  const row = DATA.rows[id];
  const line = el("tr", { "data-row": id, class: [rank === null ? "unranked" : "", rank === 1 ? "first" : "", state.open.has(id) ? "open" : ""].join(" ").trim() || null });
  const box = el("input", { type: "checkbox", "aria-label": `Compare ${nameOf(row)}, ${row.run}` });
  box.checked = state.chosen.includes(id);
  box.disabled = !box.checked && state.chosen.length >= MOST_CHOSEN;
  const toggle = el("button", { type: "button", class: "toggle", "aria-expanded": String(state.open.has(id)), "aria-label": `Open ${nameOf(row)}, ${row.run}` }, "›");
  line.append(el("td", { class: "tools" }, toggle, box), ...shown.map((column) => bodyCell(column, row, rank)));
  return line;
}

function renderTable() {
  const all = columns();
  const shown = all.filter(isShown);
  const rows = sorted(visibleRows(), all.find((column) => column.id === state.sort) || all[0]);
  document.querySelector("#board > thead").replaceChildren(el("tr", {}, el("th", { class: "tools" }, el("span", { class: "only-read" }, "open or compare")), shown.map(headCell)));
  document.querySelector("#board > tbody").replaceChildren();
  waiting = rows.map(([rank, id]) => () => [bodyRow(rank, id, shown), ...(state.open.has(id) ? [detailRow(id, shown.length + 1)] : [])]);
  addLines();
  $("shown").textContent = rows.length === table().rows.length ? counted(rows.length, "row") : `${rows.length} of ${table().rows.length} rows`;
  renderTray();
  remember();
}

function addLines() {
  document.querySelector("#board > tbody").append(...waiting.splice(0, LINES).flatMap((make) => make()));
}

function addLinesNearTheEnd() {
  const view = $("scroll");
  if (waiting.length && view.scrollTop + 2 * view.clientHeight > view.scrollHeight) addLines();
}

function renderColumnMenu() {
  $("columns").replaceChildren(...columns().filter((column) => column.optional).map((column) => {
    const box = el("input", { type: "checkbox" });
    box.checked = isShown(column);
    box.addEventListener("change", () => {
      const [set, isMember] = column.usual ? [state.hidden, !box.checked] : [state.extra, box.checked];
      if (isMember) set.add(column.id); else set.delete(column.id);
      renderTable();
    });
    return el("label", {}, box, column.label);
  }));
}
