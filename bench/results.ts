/** The figures that the proof and the benchmarks publish: bench/RESULTS.md, which only they write. */
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";

const FILE = path.join(import.meta.dirname, "RESULTS.md");

/** A Markdown table; the first row is its head. */
export function table(rows: readonly (readonly (string | number)[])[]): string {
  const line = (cells: readonly (string | number)[]) => `| ${cells.join(" | ")} |`;
  const [head = [], ...body] = rows;
  return [line(head), line(head.map(() => "---")), ...body.map(line)].join("\n");
}

/**
 * Replaces a section of the results, or adds it at the end.
 *
 * @param title names the section, and never changes
 * @param command what the reader runs to get the figures
 * @param body Markdown
 */
export function record(title: string, command: string, body: string): void {
  const text = `## ${title}\n\n\`${command}\`, ${new Date().toISOString().slice(0, 10)}, at ${revision()}, on ${machine()}.\n\n${body.trim()}\n`;
  const sections = readFileSync(FILE, "utf8").split(/^(?=## )/m);
  const at = sections.findIndex((section) => section.startsWith(`## ${title}\n`));
  sections[at === -1 ? sections.length : at] = text;
  writeFileSync(FILE, `${sections.map((section) => section.trim()).join("\n\n")}\n`);
}

/** The commit that is measured, in its short form. */
export const revision = (): string =>
  execFileSync("git", ["rev-parse", "--short", "HEAD"], { encoding: "utf8" }).trim();

function machine(): string {
  const { model = "unknown processor" } = os.cpus()[0] ?? {};
  const workerd = JSON.parse(
    readFileSync(path.join(import.meta.dirname, "../node_modules/workerd/package.json"), "utf8"),
  );
  const memory = Math.round(os.totalmem() / 2 ** 30);
  return `${os.cpus().length} cores (${model.trim()}), ${memory} GiB, Linux ${os.release()}, Node ${process.versions.node}, workerd ${workerd.version}`;
}
