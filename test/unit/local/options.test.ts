import { describe, expect, it } from "vitest";
import { readOptions, readResetOptions } from "../../../scripts/local/options";

const SURROUNDINGS = { env: {}, project: "/project", read: () => null };
const start = (...args: string[]) => readOptions(args, SURROUNDINGS);
const reset = (...args: string[]) => readResetOptions(args, SURROUNDINGS);
const startHelp = (word: string) => `npm start does not know what "${word}" is. Type: npm start -- --help`;
const resetHelp = (word: string) => `npm run reset does not know what "${word}" is. Type: npm run reset -- --help`;

describe("npm start", () => {
  it.each([["--port"], ["--persist-to"], ["--secrets-file"], ["--env-file"], ["--var"]])(
    "needs a value of %s",
    (name) => {
      const refusal = `${name} needs a value. Type: npm start -- ${name} …`;
      expect(() => start(name)).toThrow(refusal);
      expect(() => start(`${name}=`)).toThrow(refusal);
      expect(() => start(name, "")).toThrow(refusal);
      expect(() => start(name, "--json")).toThrow(refusal);
    },
  );

  it.each([
    [["foo"], "foo"],
    [["8301", "8302"], "8302"],
    [["8301", "foo"], "foo"],
    [["--port", "8301", "8302"], "8302"],
    [["--json", "foo"], "foo"],
    [["--ip", "0.0.0.0", "foo"], "foo"],
    [["--ip=0.0.0.0", "foo"], "foo"],
    [["--", "foo"], "--"],
  ])("refuses %j", (args, word) => {
    expect(() => start(...args)).toThrow(startHelp(word));
  });

  it.each([
    [["8301"], 8301, []],
    [["--json", "8301"], 8301, []],
    [["--ip", "0.0.0.0", "--port", "8301"], 8301, ["--ip", "0.0.0.0"]],
    [
      ["--inspector-port", "0", "--var", "A:b", "--ip=::1"],
      8000,
      ["--var", "A:b", "--inspector-port", "0", "--ip=::1"],
    ],
  ])("takes %j", (args, port, forwarded) => {
    expect(start(...args)).toMatchObject({ port, forwarded, state: "/project/.wrangler/state" });
  });
});

describe("npm run reset", () => {
  it("takes the state's directory and nothing else", () => {
    expect(reset()).toBe("/project/.wrangler/state");
    expect(reset("--persist-to", "/tmp/x")).toBe("/tmp/x");
    expect(() => reset("--persist-to")).toThrow("--persist-to needs a value. Type: npm run reset -- --persist-to …");
    expect(() => reset("--persist-too", "/tmp/x")).toThrow(resetHelp("--persist-too"));
    expect(() => reset("/tmp/x")).toThrow(resetHelp("/tmp/x"));
    expect(() => reset("--persist-to", "/tmp/x", "--json")).toThrow(resetHelp("--json"));
  });
});
