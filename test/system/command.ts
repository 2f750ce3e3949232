import { spawn } from "node:child_process";
import { once } from "node:events";
import { PROJECT } from "./server";

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Runs one of the project's commands as it is typed, to its end.
 *
 * @param line for the shell, for example `PORT=8001 npm start`
 * @param directory the one to type it in
 */
export async function type(line: string, env: NodeJS.ProcessEnv = {}, directory = PROJECT): Promise<Ended> {
  const { NODE_ENV, NODE_OPTIONS, VITEST, ...inherited } = process.env;
  // vitest was itself started by npm: what that has put into the environment is not the user's.
  const own = Object.entries(inherited).filter(([name]) => !name.startsWith("npm_"));
  const child = spawn("sh", ["-c", line], {
    cwd: directory,
    env: { ...Object.fromEntries(own), NO_COLOR: "1", npm_config_update_notifier: "false", ...env },
    stdio: ["ignore", "pipe", "pipe"],
    timeout: 60_000,
    killSignal: "SIGKILL",
  });
  let [stdout, stderr] = ["", ""];
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  const [code] = await once(child, "close");
  return { code, stdout, stderr };
}

/** What a command says on its error stream, without npm's own warnings. */
export const complaint = ({ stderr }: Ended) =>
  stderr
    .split("\n")
    .filter((line) => line !== "" && !/^npm (warn|notice|error) /.test(line))
    .join("\n");
