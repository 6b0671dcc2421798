// Segment's own engine from mapping to validated payload, asked by tests/it/reference_fields: a
// {"fields","mapping","event"} a line in, {"output"} or {"error"} a line out.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const { Destination } = createRequire(import.meta.url)("@segment/actions-core");

const destinations = new Map();

// The engine caches compiled schemas by the destination's name and the action's title.
function destination(fields) {
  const key = JSON.stringify(fields);
  if (!destinations.has(key)) {
    const perform = (_request, { payload }) => payload;
    const action = { title: "action", description: "", platform: "cloud", fields, perform };
    destinations.set(key, new Destination({ name: `d${destinations.size}`, mode: "cloud", actions: { action } }));
  }
  return destinations.get(key);
}

async function answer(line) {
  try {
    const { fields, mapping, event } = JSON.parse(line);
    const results = await destination(fields).executeAction("action", { mapping, event, settings: {} });
    return JSON.stringify({ output: results.at(-1).data });
  } catch (error) {
    return JSON.stringify({ error: String(error.message).slice(0, 300) });
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write((await answer(line)) + "\n");
}
