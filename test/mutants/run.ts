/**
 * `npm run mutants`: small changes that a developer might make by mistake, and how many of them the tests notice. The score
 * goes to bench/RESULTS.md.
 *
 *     npm run mutants                              all of it
 *     npm run mutants -- --only pure --room http   Stryker on the pure modules, or on those of one room; the page has what is
 *                                                  known of all, module by module
 *     npm run mutants -- --only text --count 120 --seed 1
 *                                                  mutants of the text of the rest; it goes on where it was broken off,
 *                                                  and with --room tries those of one room, which only prints
 *     npm run mutants -- --only pure --known       tries nothing: the page anew, from the scores that are kept
 *     --concurrency 1                              so many of Stryker's mutants at once; as many as there are cores, unless
 *                                                  it is said
 *     --patience 120                               the seconds that Stryker gives a mutant, for a machine that is busy; 20
 *     --fresh                                      forgets earlier results
 */
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { record, table } from "../../bench/results.ts";
import { installStryker, known, mutatePureModules, PURE_MODULES, type Score, type Survivor } from "./pure.ts";
import { type Tried, tryTextualMutants } from "./rest.ts";
import EXPLAINED from "./survivors.json" with { type: "json" };

/** In percent of the mutants that change anything that a caller could see. */
const LEAST_SCORE = 90;

const { values: options } = parseArgs({
  options: {
    only: { type: "string" },
    room: { type: "string" },
    known: { type: "boolean", default: false },
    count: { type: "string", default: "120" },
    seed: { type: "string", default: "1" },
    concurrency: { type: "string", default: String(availableParallelism()) },
    patience: { type: "string", default: "20" },
    fresh: { type: "boolean", default: false },
  },
});
const wanted = (part: string) => options.only === undefined || options.only === part;
const percent = (part: number, whole: number) => (whole === 0 ? 100 : (100 * part) / whole);
const shown = (part: number, whole: number) => `${percent(part, whole).toFixed(1)} %`;
/** A cell may not end its row. */
const cell = (text: string) => `\`${text.replaceAll("|", "\\|").replaceAll("`", "'").slice(0, 120)}\``;
const failures: string[] = [];

const survivorRows = (survivors: readonly Survivor[]) =>
  table([
    ["survivor", "what stood there", "what stands there", "why no test notices"],
    ...survivors.map(({ file, from, to, why }) => [file, cell(from), cell(to), why ?? "**not explained**"]),
  ]);

if (wanted("pure")) {
  if (!options.known) installStryker();
  const rooms = options.known ? [] : options.room === undefined ? Object.keys(PURE_MODULES) : [options.room];
  const effort = { concurrency: Number(options.concurrency), patienceMs: Number(options.patience) * 1_000 };
  for (const room of rooms) mutatePureModules(room, effort, options.fresh);
  const modules = known();
  const tried = modules.flatMap(({ tried }) => tried ?? []);
  const scores = tried.map(({ score }) => score);
  const survivors = scores.flatMap((score) => score.survivors);
  const caught = (some: readonly Score[]) => some.reduce((sum, { killed, timedOut }) => sum + killed + timedOut, 0);
  const all = (some: readonly Score[]) => caught(some) + some.flatMap((score) => score.survivors).length;
  const untried = modules.flatMap(({ file, tried }) => (tried === null ? [file] : []));
  const left = untried.length === 0 ? "" : `\n\nWithout a score as yet: ${untried.join(", ")}.`;
  const body = `Stryker on the pure modules, against the unit tests of their room; what is said in documents is left out.
A mutant that times out waits for ever, or goes round for ever. Each was tried at its commit; where it or a test of its room
has changed since, the table says so. ${shown(caught(scores), all(scores))} noticed.${left}\n\n${table([
    ["module", "at", "changed since", "mutants", "noticed by a test", "timed out", "survived", "score"],
    ...tried.map(({ revision, score, isCurrent }) => [
      score.file,
      revision,
      isCurrent ? "" : "yes",
      all([score]),
      score.killed,
      score.timedOut,
      score.survivors.length,
      shown(caught([score]), all([score])),
    ]),
    ["all", "", "", all(scores), "", "", survivors.length, shown(caught(scores), all(scores))],
  ])}\n\n${survivorRows(survivors)}`;
  console.log(body);
  record("Mutants: pure modules", "npm run mutants -- --only pure", body);
  if (percent(caught(scores), all(scores)) < LEAST_SCORE)
    failures.push(`Fewer than ${LEAST_SCORE} % noticed in pure modules`);
  for (const { file, from, to } of survivors.filter(({ why }) => why === null)) {
    failures.push(`Not explained in test/mutants/survivors.json: ${file}: ${from} → ${to}`);
  }
}

if (wanted("text")) {
  const { tried, unsound } = await tryTextualMutants(
    { count: Number(options.count), seed: Number(options.seed), room: options.room },
    options.fresh,
  );
  const whyOf = ({ file, from, to }: Tried) =>
    EXPLAINED.find((known) => known.file === file && known.from === from && known.to === to)?.why ?? null;
  const ran = tried.filter(({ tag }) => tag !== "broken");
  const silent = ran.filter(({ tag }) => tag !== "noticed");
  // A change that no caller can see is not one that a test could notice.
  const equivalent = silent.filter((mutant) => whyOf(mutant)?.startsWith("Equivalent"));
  const meant = ran.length - equivalent.length;
  const noticed = ran.length - silent.length;
  const rooms = [...Map.groupBy(ran, ({ room }) => room)].sort();
  const untried = [...unsound.keys()].map((room) => ` Nothing was tried of ${room}.`).join("");
  const body = `Changes of the text of all other modules, SQL included, drawn by seed ${options.seed}, in turn from each room, against
the room's tests. ${shown(noticed, meant)} noticed of those that change anything; a run that only hangs has not noticed.${untried}\n\n${table(
    [
      ["room", "mutants", "noticed", "survived", "hung", "equivalent"],
      ...rooms.map(([room, some]) => [
        room,
        some.length,
        some.filter(({ tag }) => tag === "noticed").length,
        some.filter(({ tag }) => tag === "passed").length,
        some.filter(({ tag }) => tag === "hung").length,
        some.filter((mutant) => equivalent.includes(mutant)).length,
      ]),
      ["all", ran.length, noticed, "", "", equivalent.length],
    ],
  )}\n\n${survivorRows(silent.map((mutant) => ({ ...mutant, file: `${mutant.file}:${mutant.line}`, why: whyOf(mutant) })))}`;
  console.log(body);
  if (options.room === undefined)
    record("Mutants: the rest", `npm run mutants -- --only text --count ${options.count} --seed ${options.seed}`, body);
  if (percent(noticed, meant) < LEAST_SCORE) failures.push(`Fewer than ${LEAST_SCORE} % noticed`);
  for (const [room, what] of unsound)
    failures.push(`Nothing was tried of ${room}, whose tests fail without a mutant: ${what}`);
  for (const mutant of silent.filter((mutant) => whyOf(mutant) === null)) {
    failures.push(
      `Not explained in test/mutants/survivors.json: ${mutant.file}:${mutant.line}: ${mutant.from} → ${mutant.to}`,
    );
  }
}

if (failures.length > 0) throw new Error(failures.join("\n"));
