// Sheets of samples, and whether those side by side were drawn from the same noise.

// The small copy is in the page; the sheet itself takes its place where the run folder can be reached.
function sheetFigure(row, title = "Samples") {
  if (!row.sheet) return el("figure", {}, el("figcaption", {}, title), el("div", { class: "nothing" }, "no sample sheet beside the record"));
  const { small, link, images, same } = row.sheet;
  const picture = el("img", { src: small, alt: `samples of ${row.run}`, class: "sheet" });
  if (link) {
    const full = new Image();
    full.onload = () => { picture.src = link; };
    full.src = link;
  }
  const when = same ? `at ${images} images` : `at ${images} images, the nearest to the checkpoint`;
  const seed = seedOf(row);
  const caption = `${title} ${when}${seed === undefined ? "" : `, noise of seed ${seed}`}`;
  return el("figure", {}, el("figcaption", {}, caption), link ? el("a", { href: link, target: "_blank", rel: "noopener" }, picture) : picture);
}

// The sheet itself says it; of an older one the configuration does.
const seedOf = (row) => (row.sheet && row.sheet.noise ? String(row.sheet.noise.seed) : settingsOf(row)["samples.seed"]);

function noiseWords(rows) {
  const bare = rows.filter((row) => !row.sheet);
  if (bare.length) return `No common noise: there is no sample sheet beside the record of ${named(bare)}.`;
  const seeds = rows.map(seedOf);
  if (!seeds.includes(undefined) && new Set(seeds).size > 1) return `Not the same noise: ${rows.map((row, place) => `seed ${seeds[place]} (${row.run})`).join(", ")}.`;
  const silent = rows.filter((row) => !row.sheet.noise);
  if (silent.length) return `Whether the noise is the same cannot be told: ${silent.length === rows.length ? "no sheet says" : `the sheet of ${named(silent)} does not say`} which numbers its model drew.`;
  const shared = rows[0].sheet.noise.draws.filter((draw) => rows.every((row) => row.sheet.noise.draws.includes(draw)));
  if (!shared.length) return `Not the same noise, though of seed ${seeds[0]}: ${rows.map((row) => `${row.run} draws ${row.sheet.noise.draws.join(", ")}`).join("; ")}.`;
  return `The same noise${placeWords(rows)}: ${shared.join(", ")} of seed ${seeds[0]}.${restWords(rows, shared)}`;
}

const named = (rows) => rows.map((row) => row.run).join(" and ");
const areEqual = (values) => new Set(values).size === 1;

function placeWords(rows) {
  const columns = rows.map((row) => row.sheet.noise.columns);
  if (columns.includes(null)) return "";
  return areEqual(columns) ? ", image by image" : `, image by image from left to right and downwards, in ${columns.join(" and ")} columns`;
}

function restWords(rows, shared) {
  const more = rows.map((row) => [row.run, row.sheet.noise.draws.filter((draw) => !shared.includes(draw))]).filter(([, draws]) => draws.length);
  const besides = more.length ? ` Besides, ${more.map(([run, draws]) => `${run} draws ${draws.join(", ")}`).join("; ")}.` : "";
  return areEqual(rows.map((row) => row.sheet.noise.labels)) ? besides : `${besides} Their labels are not the same.`;
}
