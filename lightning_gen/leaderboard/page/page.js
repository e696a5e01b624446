// The parts put together: which protocol, what is filtered, what is chosen; the address keeps it, so that a view can be sent.

function renderProtocols() {
  const groups = new Map();
  DATA.tables.forEach((each, place) => {
    const name = `${each.dataset} ${each.split}`;
    groups.set(name, [...(groups.get(name) || []), place]);
  });
  const repeated = (each) => DATA.tables.filter((other) => [other.dataset, other.split].join() === [each.dataset, each.split].join() && headName(other) === headName(each)).length > 1;
  $("protocols").replaceChildren(...[...groups].map(([name, places]) => el("div", { class: "group" }, el("span", { class: "quiet" }, name), places.map((place) => {
    const each = DATA.tables[place];
    const label = repeated(each) ? `${headName(each)} #${each.fingerprint.slice(0, 4)}` : headName(each);
    return el("button", { type: "button", "aria-current": place === state.table ? "true" : null, title: each.words[0], onclick: () => show(place) }, label, el("small", {}, String(each.rows.length)));
  }))));
}

function headName(each) {
  return each.columns.find((column) => column.id === each.ranked_by).name;
}

function show(place) {
  Object.assign(state, { table: place, sort: "rank", down: false, family: "" });
  state.open.clear();
  render();
}

function render() {
  const ranked = columnOf(table().ranked_by);
  $("title").textContent = `${table().dataset} · ${table().split} split · ${ranked.name}`;
  const [first, ...others] = table().words;
  document.querySelector("#words summary").textContent = first;
  document.querySelector("#words ul").replaceChildren(...others.map((line) => el("li", {}, line)));
  const families = [...new Set(table().rows.map(([, id]) => DATA.rows[id].family))].sort();
  $("family").replaceChildren(el("option", { value: "" }, "all families"), ...families.map((name) => el("option", { value: name }, name)));
  $("family").value = state.family;
  $("search").value = state.search;
  $("kinds").value = state.kinds;
  renderProtocols();
  renderColumnMenu();
  renderPublished();
  renderFiltered();
}

function renderPublished() {
  const published = table().published;
  $("published").hidden = !published;
  if (!published) return;
  const { headers, rows, numeric } = published;
  const attributes = (place) => ({ class: numeric.includes(place) ? "number" : null });
  document.querySelector("#published summary").textContent = `${counted(rows.length, "published number")}, not ranked`;
  document.querySelector("#published table").replaceChildren(
    el("thead", {}, el("tr", {}, headers.map((name, place) => el("th", attributes(place), name)))),
    el("tbody", {}, rows.map((line) => el("tr", {}, line.map((cell, place) => el("td", attributes(place), cell))))),
  );
}

function renderFiltered() {
  renderTable();
  renderPlots();
}

function renderPlots() {
  const ranked = columnOf(table().ranked_by);
  const likelihoods = table().columns.filter((column) => column.name === "bits/dim" && column !== ranked);
  const axesOf = [
    { name: "samples/s", better: "higher", of: (row) => row.speed[0] },
    { name: "device-hours", better: "lower", of: (row) => row.hours[0] },
    ...likelihoods.map((column) => ({ name: column.label, better: column.better, of: (row) => (mainScore(row, column.id) || {}).value })),
  ];
  const rows = visibleRows().filter(([rank]) => rank !== null).map(([, id]) => id);
  const groups = [...new Set(table().rows.map(([, id]) => DATA.rows[id].family))].sort();
  const plots = axesOf.flatMap((axis) => {
    const points = rows.map((id) => ({ row: id, x: axis.of(DATA.rows[id]), y: mainScore(DATA.rows[id], ranked.id).value, group: DATA.rows[id].family, name: nameOf(DATA.rows[id]) })).filter((point) => Number.isFinite(point.x) && Number.isFinite(point.y));
    if (points.length < 2) return [];
    const plot = scatterPlot({ points, groups, floor: ranked.floor, xName: axis.name, yName: ranked.name, xBetter: axis.better, yBetter: ranked.better, onPick: open });
    return [el("figure", {}, el("figcaption", {}, `${ranked.name} against ${axis.name}`), plot)];
  });
  $("plots").replaceChildren(...plots, ...(plots.length ? [el("div", { class: "legend-line" }, legend(groups), el("span", { class: "quiet" }, el("i", { class: "front-mark" }), "Pareto front"))] : []));
}

function open(id) {
  state.open.add(id);
  renderTable();
  const lineOf = () => document.querySelector(`tr[data-row="${id}"]`);
  while (waiting.length && !lineOf()) addLines();
  const line = lineOf();
  if (line) line.scrollIntoView({ block: "start" });
}

function toggle(id) {
  const line = document.querySelector(`tr[data-row="${id}"]`);
  const isOpen = !state.open.delete(id);
  if (isOpen) {
    state.open.add(id);
    line.after(detailRow(id, line.children.length));
  } else line.nextSibling.remove();
  line.classList.toggle("open", isOpen);
  line.querySelector(".toggle").setAttribute("aria-expanded", String(isOpen));
  remember();
}

function choose(id, isChosen) {
  state.chosen = isChosen ? [...state.chosen, id] : state.chosen.filter((other) => other !== id);
  for (const box of document.querySelectorAll("#board input")) {
    box.checked = state.chosen.includes(Number(box.closest("tr").dataset.row));
    box.disabled = !box.checked && state.chosen.length >= MOST_CHOSEN;
  }
  renderTray();
  remember();
}

function renderTray() {
  $("tray").hidden = !state.chosen.length;
  $("chosen").textContent = state.chosen.map((id) => `${nameOf(DATA.rows[id])} (${DATA.rows[id].run})`).join(" · ");
  $("open-compare").disabled = state.chosen.length < 2;
  $("open-compare").textContent = state.chosen.length < 2 ? "Choose another" : `Compare ${state.chosen.length}`;
}

function compare() {
  renderCompare();
  $("compare").showModal();
}

function remember() {
  const kept = { t: state.table, s: state.sort, d: state.down ? 1 : 0, q: state.search, f: state.family, k: state.kinds, o: [...state.open].join("."), c: state.chosen.join(".") };
  history.replaceState(null, "", `#${new URLSearchParams(kept)}`);
}

function recall() {
  const kept = new URLSearchParams(location.hash.slice(1));
  const numbers = (name) => (kept.get(name) || "").split(".").filter(Boolean).map(Number).filter((id) => DATA.rows[id]);
  if (DATA.tables[kept.get("t")]) state.table = Number(kept.get("t"));
  Object.assign(state, { sort: kept.get("s") || "rank", down: kept.get("d") === "1", search: kept.get("q") || "", family: kept.get("f") || "", kinds: kept.get("k") || "all" });
  state.open = new Set(numbers("o"));
  state.chosen = numbers("c").slice(0, MOST_CHOSEN);
}

// A browser may refuse to keep anything for a page from a file.
function theme(chosen) {
  try {
    if (chosen) localStorage.setItem("lightning-gen theme", chosen);
    return localStorage.getItem("lightning-gen theme");
  } catch {
    return chosen;
  }
}

function listen() {
  $("search").addEventListener("input", (event) => { state.search = event.target.value; renderFiltered(); });
  $("family").addEventListener("change", (event) => { state.family = event.target.value; renderFiltered(); });
  $("kinds").addEventListener("change", (event) => { state.kinds = event.target.value; renderFiltered(); });
  $("controls").addEventListener("submit", (event) => event.preventDefault());
  $("scroll").addEventListener("scroll", addLinesNearTheEnd, { passive: true });
  $("clear").addEventListener("click", () => { state.chosen = []; renderTable(); });
  $("open-compare").addEventListener("click", compare);
  document.querySelector("#board > tbody").addEventListener("change", (event) => choose(Number(event.target.closest("tr").dataset.row), event.target.checked));
  document.querySelector("#board > tbody").addEventListener("click", (event) => {
    const line = event.target.closest("tr[data-row]");
    if (line && !event.target.closest("a, input") && !String(getSelection())) toggle(Number(line.dataset.row));
  });
  $("theme").addEventListener("click", () => {
    const isDark = getComputedStyle(document.documentElement).colorScheme === "dark";
    document.documentElement.dataset.theme = isDark ? "light" : "dark";
    theme(document.documentElement.dataset.theme);
  });
}

const counted = (number, name) => `${number} ${name}${number === 1 ? "" : "s"}`;

function start() {
  const kept = theme();
  if (kept) document.documentElement.dataset.theme = kept;
  const newest = DATA.rows.reduce((late, row) => (row.date[0] > late[0] ? row.date : late), [0, ""]);
  $("summary").textContent = `${counted(DATA.rows.length, "row")} in ${counted(DATA.tables.length, "protocol")}, newest ${newest[1]} UTC`;
  if (!DATA.tables.length) {
    $("title").textContent = "No results yet";
    document.querySelectorAll("#words, #controls, #scroll").forEach((part) => { part.hidden = true; });
    return;
  }
  recall();
  listen();
  render();
}

start();
