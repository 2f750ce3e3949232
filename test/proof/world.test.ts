import { expect, it } from "vitest";
import { World } from "./world";

it("a world in which something goes on for ever says so, and does not hang", async () => {
  const world = new World(1);
  const forever = async () => {
    for (;;) await world.turn();
  };
  await expect(world.run(forever)).rejects.toThrow("The world does not come to rest");
});

it("a world in which everybody waits for what never comes says so", async () => {
  await expect(new World(1).run(() => new Promise(() => {}))).rejects.toThrow("The world stands still");
});
