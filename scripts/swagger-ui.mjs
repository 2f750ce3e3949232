// Copies the parts of Swagger UI that the page at /docs loads, with their licence, into public/docs.
import { copyFileSync, existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";

const source = path.dirname(createRequire(import.meta.url).resolve("swagger-ui-dist/package.json"));
const target = path.join(import.meta.dirname, "../public/docs");
for (const file of ["swagger-ui.css", "swagger-ui-bundle.js", "LICENSE", "NOTICE"]) {
  const [from, to] = [path.join(source, file), path.join(target, file)];
  // Leaves what is there alone: a server that runs beside this build may be reading it.
  if (!existsSync(to) || !readFileSync(from).equals(readFileSync(to))) copyFileSync(from, to);
}
