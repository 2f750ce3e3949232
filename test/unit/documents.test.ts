/** What the documents claim of the project, compared with the project. Commands are run by test/system/readme.test.ts. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, expect, it } from "vitest";
import { unstable_readConfig as readConfig, type Unstable_Config } from "wrangler";
import { dependencies, devDependencies } from "../../package.json";
import { ACCOUNT_EVENT_TYPES } from "../../src/account/event-types";
import { EVENT_TYPES } from "../../src/outbox/event-types";
import { DELIVERY_STATES } from "../../src/outbox/states";
import { ACTIONS, outcome, STATUSES, type Status, statusAfter } from "../../src/payment/lifecycle";
import { FAILURES } from "../../src/provider/failures";
import { RECONCILIATION } from "../../src/provider/reconciliation";
import { TOKENS } from "../../src/sandbox/tokens";

const PROJECT = path.join(import.meta.dirname, "../..");
const read = (file: string) => readFileSync(path.join(PROJECT, file), "utf8");

/** The files below a folder, as paths in the project. */
const filesBelow = (folder: string) =>
  readdirSync(path.join(PROJECT, folder), { recursive: true, encoding: "utf8" })
    .filter((file) => !/(^|\/)node_modules\//.test(file))
    .map((file) => `${folder}/${file}`);

const DOCUMENTS = [
  ...readdirSync(PROJECT).filter((file) => file.endsWith(".md")),
  ...["docs", "test"].flatMap(filesBelow).filter((file) => file.endsWith(".md")),
];

/** The text without its blocks of code, in which nothing is a link. */
const prose = (text: string) => text.replace(/^```.*?^```$/gms, "");

/** What a heading is linked by, as GitHub makes it. */
const anchor = (heading: string) =>
  heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N} _-]/gu, "")
    .replaceAll(" ", "-");

const anchorsOf = (file: string) =>
  [...prose(read(file)).matchAll(/^#+ (.+)$/gm)].map(([, heading = ""]) => anchor(heading));

/** The rows of the table below a heading, each a list of its cells; the head is left out. */
function tableBelow(file: string, heading: string): string[][] {
  const [, after = ""] = read(file).split(`\n## ${heading}\n`);
  const [section = ""] = after.split("\n## ");
  const [table = ""] = /^\|.*\n\|[ |:-]+\n(?:\|.*\n)*/m.exec(section) ?? [];
  const rows = table.trim().split("\n").slice(2);
  return rows.map((row) => row.split(/(?<!\\)\|/).slice(1, -1)).map((cells) => cells.map((cell) => cell.trim()));
}

/** Everything between backticks in a text. */
const quoted = (text: string) => [...text.matchAll(/`([^`]+)`/g)].map(([, code = ""]) => code);

describe.each(DOCUMENTS)("%s", (file) => {
  it("links to what there is", () => {
    const links = [...prose(read(file)).matchAll(/\]\(([^)]+)\)/g)].map(([, target = ""]) => target);
    const broken = links
      .filter((target) => !/^(https?:|mailto:)/.test(target))
      .filter((target) => {
        const [to = "", heading] = target.split("#");
        const linked = to === "" ? file : path.posix.join(path.posix.dirname(file), to);
        if (!existsSync(path.join(PROJECT, linked))) return true;
        return heading !== undefined && !anchorsOf(linked).includes(heading);
      });
    expect(broken).toEqual([]);
  });

  it("names files and folders of the project that there are", () => {
    const named = quoted(prose(read(file))).filter((code) =>
      /^(src|test|docs|bench|scripts|migrations|public|\.ci|\.github)\/[\w./-]*$/.test(code),
    );
    expect(named.filter((code) => !existsSync(path.join(PROJECT, code)))).toEqual([]);
  });

  it("names scripts that there are", () => {
    const scripts = Object.keys(JSON.parse(read("package.json")).scripts);
    const named = [...read(file).matchAll(/\bnpm run (?:--silent )?([a-z][\w:-]*)/g)].map(([, script = ""]) => script);
    expect(named.filter((script) => !scripts.includes(script))).toEqual([]);
  });
});

it("every page of docs/ is reached from the README", () => {
  const reached = new Set(["README.md"]);
  for (const file of reached) {
    for (const [, target = ""] of prose(read(file)).matchAll(/\]\(([^)#]+\.md)/g)) {
      reached.add(path.posix.join(path.posix.dirname(file), target));
    }
  }
  expect(DOCUMENTS.filter((file) => !reached.has(file) && file !== "CHANGELOG.md")).toEqual([]);
});

it("the README gives the reason of every dependency, and of no other package", () => {
  const named = tableBelow("README.md", "Dependencies").flatMap(([packages = ""]) => quoted(packages));
  expect(named.sort()).toEqual([...Object.keys(dependencies), ...Object.keys(devDependencies)].sort());
});

it("docs/architecture.md sends every change to names that there are in src", () => {
  const [, after = ""] = read("docs/architecture.md").split("\n| to change | go to |\n");
  const [table = ""] = /^(?:\|.*\n)+/.exec(after) ?? [];
  const source = filesBelow("src")
    .filter((file) => file.endsWith(".ts"))
    .map(read)
    .join("\n");
  const known = new Set(source.match(/\w+/g));
  const missing = table
    .trim()
    .split("\n")
    .slice(1)
    .flatMap((row) => {
      // A name may also be of a file outside of src that its row names.
      const beside = quoted(row)
        .filter((code) => /^(test|bench|scripts)\/.*\.ts$/.test(code))
        .map(read)
        .join("\n");
      return quoted(row)
        .map((code) => code.replace(/\(\w*\)$/, ""))
        .filter((code) => /^[A-Za-z_]\w*$/.test(code))
        .filter((name) => !known.has(name) && !new RegExp(`\\b${name}\\b`).test(beside));
    });
  expect(table.split("\n").length).toBeGreaterThan(15);
  expect(missing).toEqual([]);
});

it("docs/api.md has the lifecycle's table", () => {
  const same = (status: Status) =>
    ["requires_action", "processing"].includes(status) ? "202, unchanged" : "200, unchanged";
  const rows = STATUSES.map((status) => [
    status,
    ...ACTIONS.map((action) => {
      const result = outcome(status, action);
      if (result === "changed") return `→ ${statusAfter(action)}`;
      return result === "refused" ? "409" : same(status);
    }),
  ]);
  expect(tableBelow("docs/api.md", "The lifecycle")).toEqual(rows);
});

it("docs/api.md has every type of account event", () => {
  const rows = tableBelow("docs/api.md", "Account events").flatMap(([types = ""]) => quoted(types));
  expect(rows.sort()).toEqual([...ACCOUNT_EVENT_TYPES].sort());
});

it("docs/api.md has every code of a failure, with what a customer is told", () => {
  const rows = tableBelow("docs/api.md", "Failures").map(([code = "", says]) => [quoted(code), says]);
  expect(rows).toEqual(Object.entries(FAILURES).map(([code, says]) => [[code], says]));
});

it("docs/reconciliation.md has every kind of item, with what it means and what to do", () => {
  const rows = tableBelow("docs/reconciliation.md", "Kinds").map(([kind = "", ...said]) => [quoted(kind), ...said]);
  expect(rows).toEqual(Object.entries(RECONCILIATION).map(([kind, { means, remedy }]) => [[kind], means, remedy]));
});

it("docs/sandbox.md has every token, with what it does", () => {
  const rows = tableBelow("docs/sandbox.md", "Tokens").map(([token = "", group, does]) => [quoted(token), group, does]);
  expect(rows).toEqual(Object.entries(TOKENS).map(([token, { group, does }]) => [[token], group, does]));
});

it("docs/webhooks.md has every type of event, with what it says", () => {
  const rows = tableBelow("docs/webhooks.md", "Types").map(([type = "", when = ""]) => [
    quoted(type),
    when.toLowerCase(),
  ]);
  expect(rows).toEqual(Object.entries(EVENT_TYPES).map(([type, when]) => [[type], when.toLowerCase()]));
});

it("docs/webhooks.md has every state of a delivery", () => {
  const rows = tableBelow("docs/webhooks.md", "States of a delivery").map(([state = ""]) => quoted(state));
  expect(rows).toEqual(Object.keys(DELIVERY_STATES).map((state) => [state]));
});

describe("docs/storage.md", () => {
  const database = new DatabaseSync(":memory:");
  for (const file of readdirSync(path.join(PROJECT, "migrations")).sort()) database.exec(read(`migrations/${file}`));
  const tables = database
    .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    .all()
    .map(({ name }) => String(name));

  it("has every table, and no other", () => {
    const headings = [...read("docs/storage.md").matchAll(/^## ([a-z_]+)$/gm)].map(([, heading]) => heading);
    expect(headings.sort()).toEqual(tables.sort());
  });

  it.each(tables)("names columns that %s has", (table) => {
    const columns = database.prepare(`SELECT name FROM pragma_table_info('${table}')`).all();
    const named = tableBelow("docs/storage.md", table).flatMap(([cell = ""]) => quoted(cell));
    const known = columns.map(({ name }) => name);
    expect(named.filter((column) => !known.includes(column))).toEqual([]);
  });
});

describe("docs/operations.md", () => {
  const configuration = tableBelow("docs/operations.md", "Configuration").flatMap(([where = ""]) => quoted(where));

  it("has every variable and binding of rate limits", () => {
    const { vars, ratelimits }: Unstable_Config = readConfig({ config: path.join(PROJECT, "wrangler.toml") });
    const names = [...Object.keys(vars), ...ratelimits.map((limit) => String(limit.name))];
    expect(names.filter((name) => !configuration.includes(name))).toEqual([]);
  });

  it("says how often the crons run, and how far a run of a walk goes", () => {
    const [, triggers = ""] =
      tableBelow("docs/operations.md", "Configuration").find(([where = ""]) => where.includes("[triggers]")) ?? [];
    const { triggers: configured }: Unstable_Config = readConfig({ config: path.join(PROJECT, "wrangler.toml") });
    expect(configured.crons).toEqual(["* * * * *", "*/2 * * * *", "*/5 * * * *", "*/10 * * * *", "*/1 * * * *"]);
    expect(triggers).toMatch(
      /^every minute, .*; every two minutes, .*; every five minutes, .*; every ten minutes, .*; each minute \(`\*\/1 \* \* \* \*`\), /,
    );
    const constantOf = (job: string, name: string) =>
      Number(new RegExp(`^const ${name} = ([\\d_]+);`, "m").exec(read(`src/jobs/${job}.ts`))?.[1]?.replace("_", ""));
    const perStep = constantOf("retention", "KEYS_PER_STEP");
    const texts = constantOf("resealing", "STEPS_PER_RUN") * constantOf("resealing", "TEXTS_PER_STEP");
    const counts = [constantOf("retention", "STEPS_PER_RUN") * perStep, perStep, texts];
    expect(triggers.match(/\d+,\d{3}/g)).toEqual(counts.map((count) => count.toLocaleString("en")));
    for (const file of ["operations", "glossary", "storage"]) {
      expect(read(`docs/${file}.md`)).not.toMatch(/daily (job|walk|sweep|run)|keys daily/);
    }
  });

  it("says that webhooks do not leave a container, and so does the README", () => {
    expect(read("docs/operations.md")).toMatch(
      /A webhook does not leave the container: .*`host\.docker\.internal` is refused/,
    );
    expect(read("README.md")).toContain("webhooks do not reach this machine");
  });

  it("has every secret", () => {
    const [, declared = ""] = /interface __BaseEnv_Env \{(.*?)\n {2}\}/s.exec(read("src/context.ts")) ?? [];
    const secrets = [...declared.matchAll(/readonly (\w+)\??:/g)].map(([, name]) => name);
    expect(secrets).toContain("ADMIN_KEY");
    expect(secrets.filter((name) => !configuration.includes(String(name)))).toEqual([]);
  });

  it("says what every line of the log means, and of no other", () => {
    const rows = tableBelow("docs/operations.md", "Logs").flatMap(([message = ""]) => quoted(message));
    const logged = filesBelow("src")
      .filter((file) => file.endsWith(".ts"))
      .flatMap((file) => {
        const text = read(file);
        const messages = [...text.matchAll(/\blog(?:Info|Error)\(\{\s*(message.*?),\s/gs)].map(([, code = ""]) =>
          code === "message" ? (/const message = .*/.exec(text)?.[0] ?? "") : code,
        );
        return messages.flatMap((code) => [...code.matchAll(/"([^"]+)"/g)].map(([, message]) => message));
      });
    expect(rows.sort()).toEqual([...new Set(logged)].sort());
  });
});

it("the README has the dollars of bench/RESULTS.md", () => {
  const [, , measured = ""] = /^## Cost$(.*?)^(\| {2}\|.*?\n)$/ms.exec(read("bench/RESULTS.md")) ?? [];
  const cells = (row = "") => row.split("|").slice(2, -1);
  const rows = measured.split("\n");
  const inAll = cells(rows.find((row) => row.startsWith("| **in all** |"))).map((dollars) =>
    Number(dollars).toFixed(1),
  );
  const what = cells(rows[0]).map((name) => name.trim());
  expect(inAll.length).toBeGreaterThanOrEqual(5);
  expect(tableBelow("README.md", "Cost")).toEqual(what.map((name, n) => [name, inAll[n]]));
});

it("docs/operations.md has the figures of bench/RESULTS.md for what no caller asks for", () => {
  /** The rows of the table whose first cell is `step`: each cell by its column's name, by step. */
  const steps = (file: string) => {
    const [table = ""] = /^\| step \|.*\n(?:\|.*\n)+/m.exec(read(file)) ?? [];
    const [head = [], , ...rows] = table.split("\n").map((row) => row.split("|").slice(1, -1));
    const columns = head.map((cell) => cell.trim());
    return new Map(
      rows
        .filter((row) => row.length > 0)
        .map((row) => {
          const cells = row.map((cell, n) => [columns[n] ?? "", cell.trim()] as const);
          return [cells[0]?.[1] ?? "", Object.fromEntries(cells)];
        }),
    );
  };
  const measured = steps("bench/RESULTS.md");
  const stated = steps("docs/operations.md");
  expect(stated.size).toBeGreaterThanOrEqual(8);
  for (const [step, cells] of stated) expect(measured.get(step)).toMatchObject(cells);
});

it("docs/testing.md has the figures of bench/RESULTS.md, each at its revision", () => {
  const sections = read("bench/RESULTS.md").split(/^## /m).slice(1);
  const rows = tableBelow("docs/testing.md", "What was tried to break it");
  expect(rows.length).toBeGreaterThanOrEqual(7);
  for (const [what = "", tried = "", , revision = ""] of rows) {
    const measured = sections
      .filter((section) => section.includes(`, at ${revision}, `))
      .flatMap((section) =>
        [...section.matchAll(/^\| ([^|]+) \| (\d+) \|/gm)].map(([, name, count]) => `${name}: ${count}`),
      );
    expect(measured, `at ${revision}`).toContain(`${what}: ${tried}`);
  }
});
