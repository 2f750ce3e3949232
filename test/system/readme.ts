import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import path from "node:path";
import { promisify } from "node:util";
import { PROJECT } from "./server";

export const README = readFileSync(path.join(PROJECT, "README.md"), "utf8");

const ALL = readdirSync(path.join(PROJECT, "docs"), { recursive: true, encoding: "utf8" })
  .filter((file) => file.endsWith(".md"))
  .map((file) => path.posix.join("docs", file))
  .sort();
/** What goes on from the one before it, on the same database, comes after it. */
const IN_ORDER = ["README.md", "docs/api.md", "docs/webhooks.md"];

/** The documents whose commands are run, in the order in which a reader would, by their paths in the project. */
export const DOCUMENTS: readonly string[] = [...IN_ORDER, ...ALL.filter((file) => !IN_ORDER.includes(file))];

export function readDocument(file: string): string {
  return readFileSync(path.join(PROJECT, file), "utf8");
}

export interface Step {
  readonly command: string;
  readonly output: string;
}

const blocksOf = (kind: string) => new RegExp(`(\`\`\`${kind}\\n)(.*?)(\`\`\`)`, "gs");

function stepsOf(block: string): Step[] {
  return block
    .split(/^\$ /m)
    .slice(1)
    .map((step) => {
      const [command = "", ...output] = step.split("\n");
      return { command, output: output.join("\n").trim() };
    });
}

/** Each command of the blocks of this kind in a text, with the output that stands below it. */
export function steps(kind: string, text = README): Step[] {
  return [...text.matchAll(blocksOf(kind))].flatMap(([, , block = ""]) => stepsOf(block));
}

/** The text with other outputs below the commands of its blocks of this kind, in their order. */
export function withOutputs(text: string, kind: string, outputs: readonly string[]): string {
  const left = [...outputs];
  return text.replace(blocksOf(kind), (_, opening: string, block: string, closing: string) => {
    const filled = stepsOf(block).map(({ command }) => [`$ ${command}`, left.shift() ?? ""].join("\n").trim());
    return `${opening}${filled.join("\n")}\n${closing}`;
  });
}

/** Runs a command as it is pasted into a shell; all that it prints. */
export async function paste(command: string, directory: string): Promise<string> {
  const { stdout } = await promisify(execFile)("sh", ["-c", `{ ${command}; } 2>&1 | cat`], {
    cwd: directory,
    timeout: 20_000,
  });
  return stdout;
}

/** The files that a text has the reader save, by their names. */
export function filesToSave(text = README): Map<string, string> {
  const files = text.matchAll(/Save this as `([\w.]+)`.*?```\w+\n(.*?)```/gs);
  return new Map([...files].map(([, name = "", content = ""]) => [name, content]));
}

/** The README's consumer of webhooks. */
export const CONSUMER = filesToSave().get("consumer.mjs") ?? "";

/** What the README says that its consumer prints. */
export const CONSUMED = /```text\n(evt_test.*?)```/s.exec(README)?.[1] ?? "";

export interface Consumer {
  /** The lines that it has printed so far. */
  lines(): string[];
  stop(): Promise<void>;
}

/** Runs the README's consumer in a directory. */
export async function startConsumer(directory: string, port: number): Promise<Consumer> {
  await writeFile(path.join(directory, "consumer.mjs"), CONSUMER);
  const env = { ...process.env, PORT: String(port) };
  const child = spawn(process.execPath, ["consumer.mjs"], { cwd: directory, env });
  const kill = () => child.kill("SIGKILL");
  process.once("exit", kill);
  let printed = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      printed += text;
    });
  }
  const ended = once(child, "exit").finally(() => process.off("exit", kill));
  return {
    lines: () => (printed === "" ? [] : printed.trim().split("\n")),
    async stop() {
      kill();
      await ended;
    },
  };
}

/** A port of this machine that nobody listens on. */
export async function freePort(): Promise<number> {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const address = probe.address();
  probe.close();
  if (address === null || typeof address === "string") throw new Error("No port");
  return address.port;
}
