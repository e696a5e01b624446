// What a row opens to, and two or three rows side by side.

function detailRow(id, span) {
  const row = DATA.rows[id];
  const inner = el("div", { class: "detail" },
    el("div", { class: "pair" }, sheetFigure(row), curveFigure([id], table().ranked_by)),
    el("div", { class: "pair wide" }, scoreTable([id]), facts(row)),
    section("Configuration", differenceTable(row)),
    section("Train it again", commands(row.train, "Its configuration is neither on this machine nor shipped.")),
    section("Score it again", commands(row.evaluate ? [row.evaluate] : [], "Its run folder is not on this machine.")),
    section("Protocol", el("ul", { class: "words" }, table().words.map((line) => el("li", {}, line)))),
  );
  return el("tr", { class: "detail-row" }, el("td", { colspan: span }, inner));
}

const section = (title, ...children) => el("section", {}, el("h3", {}, title), children);
const settingsOf = (row) => Object.fromEntries(row.settings || []);
const commands = (lines, otherwise) => (lines.length ? lines.map(copyable) : el("p", { class: "quiet" }, otherwise));

function curveFigure(ids, id) {
  const name = columnName(id);
  const found = ids.map((row, number) => ({ row, number, curve: DATA.rows[row].curves[name] })).filter(({ curve }) => curve);
  if (!found.length) return el("figure", {}, el("figcaption", {}, name), el("div", { class: "nothing" }, "no curve: fewer than two points"));
  const curves = found.map(({ row, number, curve }) => ({ name: DATA.rows[row].run, x: curve.x, y: curve.y, ink: number }));
  const marks = ids.length > 1 ? [] : ["best", "last"].flatMap((kind) => bestMark(DATA.rows[ids[0]], kind, id));
  const sources = [...new Set(found.map(({ curve }) => curve.from))].join("; ");
  const ringed = marks.length ? "; ring: the checkpoint of the row, test protocol" : "";
  return el("figure", {}, el("figcaption", {}, `${name} (${sources}${ringed})`), curvePlot(curves, name, marks));
}

function bestMark(row, kind, id) {
  const score = (row.scores[kind] || {})[id];
  if (kind !== row.kind || !score || score.value === null) return [];
  return [{ x: row.images[0], y: score.value, number: 0, text: `${kind}: ${score.text}` }];
}

const anyColumn = (id) => columnOf(id) || DATA.tables.flatMap((other) => other.columns).find((column) => column.id === id);
const columnName = (id) => anyColumn(id).name;

// Of scores that share a name the protocol tells which is which.
function labelIn(ids, id) {
  const isAlone = ids.filter((other) => columnName(other) === columnName(id)).length === 1;
  return isAlone ? columnName(id) : `${columnName(id)} #${anyColumn(id).fingerprint.slice(0, 4)}`;
}

function facts(row) {
  const items = [
    ["run", row.run], ["seed", row.seed], ["configuration", row.config], ["how it answers", row.answer], ["parameters", row.parameters[1]], ["images seen", row.images[1]],
    ["device-hours", row.hours[1] || "not recorded"], ["samples/s", row.speed[1] || "not recorded"], ["machine", row.machine], ["version", row.code], ["evaluated", `${row.date[1]} UTC`],
    ["W&B", row.wandb.url ? external(row.wandb.url, row.wandb.url) : row.wandb.id || "none"],
  ];
  if (row.superseded) items.push(["not shown", `${row.superseded} earlier evaluation(s)`]);
  if (row.collapsed) items.unshift(["warning", row.collapsed]);
  return el("dl", { class: "facts" }, items.map(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
}

function scoreIds(ids) {
  const all = new Set(ids.flatMap((id) => Object.values(DATA.rows[id].scores).flatMap((scores) => Object.keys(scores).map(Number))));
  const known = table().columns.map((column) => column.id).filter((id) => all.has(id));
  return [...known, ...[...all].filter((id) => !known.includes(id)).sort((a, b) => a - b)];
}

// One line for each score: of one run its checkpoints, of several runs what each has.
function scoreTable(ids) {
  const alone = ids.length === 1 ? DATA.rows[ids[0]] : null;
  const kinds = alone ? ["best", "last", "other", "untrained"].filter((kind) => alone.scores[kind]) : [];
  const cells = alone ? (id) => kinds.map((kind) => (alone.scores[kind] || {})[id]) : (id) => ids.map((row) => mainScore(DATA.rows[row], id));
  const heads = alone ? kinds : ids.map((id) => DATA.rows[id].run);
  const all = scoreIds(ids);
  const lines = all.map((id) => el("tr", { "data-score": columnName(id) }, el("th", { scope: "row" }, labelIn(all, id)), cells(id).map((score) => el("td", { class: "number" }, score ? [score.text, score.kind ? el("small", {}, score.kind) : null] : "")), el("td", { class: "number quiet" }, (cells(id).find((score) => score && score.floor) || {}).floor || "")));
  return el("div", { class: "fit" }, el("table", { class: "plain-table scores" }, el("thead", {}, el("tr", {}, el("th", {}, "score"), heads.map((head) => el("th", { class: "number" }, head)), el("th", { class: "number" }, "real images"))), el("tbody", {}, lines)));
}

function differenceTable(row) {
  if (row.differences === null) return el("p", { class: "quiet" }, row.settings ? `No shipped configuration is called ${row.config}.` : "The run's configuration is not beside its record.");
  const base = `the shipped configuration ${row.config}, base.yaml and the defaults of its classes`;
  if (!row.differences.length) return el("p", {}, `The same as ${base}.`);
  const lines = row.differences.map(([key, before, now]) => el("tr", {}, el("th", { scope: "row" }, el("code", {}, key)), el("td", {}, el("del", {}, before)), el("td", {}, el("ins", {}, now))));
  return [el("p", { class: "quiet" }, `Other than ${base}; the rest is the same.`), el("div", { class: "fit" }, el("table", { class: "plain-table diff" }, el("thead", {}, el("tr", {}, el("th", {}, "key"), el("th", {}, "shipped"), el("th", {}, "this run"))), el("tbody", {}, lines)))];
}

function settingsTable(ids) {
  const known = ids.map((id) => DATA.rows[id].settings && settingsOf(DATA.rows[id]));
  const missing = ids.filter((id) => !DATA.rows[id].settings).map((id) => DATA.rows[id].run);
  if (known.filter(Boolean).length < 2) return el("p", { class: "quiet" }, `No configuration beside the records of ${missing.join(", ")}.`);
  const keys = [...new Set(known.flatMap((settings) => Object.keys(settings || {})))].sort();
  const values = (key) => known.map((settings) => (settings ? settings[key] ?? "(not set)" : ""));
  const different = keys.filter((key) => new Set(values(key).filter((_, place) => known[place])).size > 1);
  if (!different.length) return el("p", {}, "The same configuration.");
  const lines = different.map((key) => el("tr", {}, el("th", { scope: "row" }, el("code", {}, key)), values(key).map((value) => el("td", {}, value))));
  return el("div", { class: "fit" }, el("table", { class: "plain-table diff" }, el("thead", {}, el("tr", {}, el("th", {}, "key"), ids.map((id) => el("th", {}, DATA.rows[id].run)))), el("tbody", {}, lines)));
}

function renderCompare() {
  const ids = [...state.chosen].sort((a, b) => a - b);
  const close = el("button", { type: "button", class: "plain", onclick: () => $("compare").close() }, "Close");
  const ranked = scoreIds(ids).filter((id) => ids.some((row) => DATA.rows[row].curves[columnName(id)]));
  const names = [...new Map(ranked.map((id) => [columnName(id), id])).values()];
  const sheets = ids.map((id, number) => {
    const figure = sheetFigure(DATA.rows[id], nameOf(DATA.rows[id]));
    figure.style.setProperty("--own", ink(number));
    figure.append(el("p", { class: "quiet run" }, DATA.rows[id].run));
    return figure;
  });
  $("compare").replaceChildren(
    el("header", {}, el("h2", {}, "Side by side"), close),
    el("div", { class: "sheets" }, sheets),
    el("p", { class: "noise" }, noiseWords(ids.map((id) => DATA.rows[id]))),
    section("Scores", scoreTable(ids)),
    verdictSection(ids),
    section("Against images seen", names.length ? [legend(ids.map((id) => `${nameOf(DATA.rows[id])}, ${DATA.rows[id].run}`)), el("div", { class: "plots" }, names.map((id) => curveFigure(ids, id)))] : el("p", { class: "quiet" }, "No curve: fewer than two points.")),
    section("Configurations, where they differ", settingsTable(ids)),
  );
}
