import type { Reporter, TestModule, TestRunEndReason } from "vitest/node";

/** Ends a run with its plain count, for people and for tools that read last lines. */
export default class CountReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly unknown[], reason: TestRunEndReason): void {
    const tests = modules.flatMap((module) => [...module.children.allTests()]);
    const count = (state: string) => tests.filter((test) => test.result().state === state).length;
    // A file that does not load, or a hook that throws, leaves tests skipped or passed behind.
    const groups = modules.flatMap((module) => [module, ...module.children.allSuites()]);
    const broken = groups.filter((group) => group.errors().length > 0).length;
    const failed = count("failed") + broken + unhandled.length;
    const skipped = count("skipped");
    console.log(
      // A run that failed never says that nothing did, for example when it found no test files.
      `\n${count("passed")} passed, ${reason === "passed" ? failed : Math.max(failed, 1)} failed` +
        (skipped > 0 ? `, ${skipped} skipped` : ""),
    );
  }
}
