// Segment's own mapping engine, asked by tests/it/reference_directives: a {"mapping","event"} a line in,
// {"output"} or {"error"} a line out.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const { transform } = createRequire(import.meta.url)("@segment/actions-core");

function answer(line) {
  try {
    const { mapping, event } = JSON.parse(line);
    return JSON.stringify({ output: transform(mapping, event) });
  } catch (error) {
    return JSON.stringify({ error: String(error.message).slice(0, 300) });
  }
}

let waiting = [];
for await (const line of createInterface({ input: process.stdin })) {
  waiting.push(answer(line));
  if (waiting.length === 500) {
    process.stdout.write(waiting.join("\n") + "\n");
    waiting = [];
  }
}
process.stdout.write(waiting.map((line) => line + "\n").join(""));
