/** What of Dockerfile, .dockerignore and compose.yaml this project writes, read; anything else is an error. */
import path from "node:path";

export interface Instruction {
  readonly name: string;
  readonly rest: string;
}

/** The instructions of a Dockerfile, each on its line. */
export function readDockerfile(text: string): Instruction[] {
  return text
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => {
      const [, name, rest] = /^([A-Z]+) (.+)$/.exec(line) ?? [];
      if (name === undefined || rest === undefined || rest.endsWith("\\")) throw new Error(`Not read: ${line}`);
      return { name, rest };
    });
}

/** The words of a command in its JSON form, which no shell reads. */
export function words(rest: string): string[] {
  const list: unknown = JSON.parse(rest.slice(rest.indexOf("[")));
  if (!Array.isArray(list)) throw new Error(`Not read: ${rest}`);
  return list.map(String);
}

/** What a COPY takes, and where it puts it. */
export function readCopy(rest: string): { from: string[]; to: string } {
  const all = rest.split(" ").filter((word) => !word.startsWith("--"));
  if (all.some((word) => /[*?[]/.test(word))) throw new Error(`Not read: COPY ${rest}`);
  return { from: all.slice(0, -1), to: all.at(-1) ?? "" };
}

/** Which files a .dockerignore lets in that first shuts all out: one that is named, or lies below what is. */
export function readIgnore(text: string): (file: string) => boolean {
  const [first, ...others] = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  if (first !== "*" || others.some((line) => !/^![\w./-]+$/.test(line))) throw new Error("Not read: .dockerignore");
  const named = others.map((line) => line.slice(1));
  return (file) => named.some((name) => file === name || file.startsWith(`${name}${path.posix.sep}`));
}
