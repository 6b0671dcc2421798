// Segment's own trigger parser and evaluator, asked by tests/it/reference_triggers: a {"trigger","event"} a
// line in, {"matches"} or {"error"} a line out.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const { parseFql, validate } = createRequire(import.meta.url)("@segment/destination-subscriptions");

function answer(line) {
  try {
    const { trigger, event } = JSON.parse(line);
    const condition = parseFql(trigger);
    if (condition.error) throw condition.error;
    return JSON.stringify({ matches: validate(condition, event) });
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
