// BullMQ: a saga is four jobs, each of which adds its successor. `node bullmq.mjs worker|client --name value …`
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { once } from "node:events";
import { parseArgs } from "node:util";
import { performance } from "node:perf_hooks";
import { randomUUID } from "node:crypto";

const { positionals, values: asked } = parseArgs({
  allowPositionals: true,
  options: Object.fromEntries(
    ["workload", "window", "warm", "socket", "packages", "concurrency", "payload"].map((name) => [name, { type: "string" }]),
  ),
});
const { Queue, QueueEvents, UnrecoverableError, Worker } = createRequire(`${asked.packages}/x`)("bullmq");
const connection = () => ({ path: asked.socket, maxRetriesPerRequest: null, enableAutoPipelining: false });
const options = { removeOnComplete: true, removeOnFail: true };
// Steps run in one queue; the last of a saga has a queue of its own, so that clients hear of nothing else.
const NEXT = {
  first: ["steps", "second"],
  second: ["steps", "third"],
  third: ["last", "fourth"],
  take_first: ["steps", "take_second"],
  take_second: ["steps", "fail"],
  fail: ["steps", "undo_second"],
  undo_second: ["last", "undo_first"],
};

async function work() {
  const queues = { steps: new Queue("steps", { connection: connection() }), last: new Queue("last", { connection: connection() }) };
  const step = async (job) => {
    const result = job.data.value;
    const next = NEXT[job.name];
    if (next) {
      const [queue, name] = next;
      const id = queue === "last" ? { jobId: job.data.saga } : {};
      await queues[queue].add(name, { saga: job.data.saga, value: result }, { ...options, ...id });
    }
    if (job.name === "fail") throw new UnrecoverableError("there is none left");
    return result;
  };
  for (const name of ["steps", "last"]) {
    const worker = new Worker(name, step, { connection: connection(), concurrency: Number(asked.concurrency) });
    await worker.waitUntilReady();
  }
  console.log("ready");
  process.on("SIGTERM", () => process.exit(0));
}

async function drive() {
  const steps = new Queue("steps", { connection: connection() });
  const events = new QueueEvents("last", { connection: connection() });
  await Promise.all([steps.waitUntilReady(), events.waitUntilReady()]);
  let number = 0;
  const waiting = new Map();
  events.on("completed", ({ jobId, returnvalue }) => {
    waiting.get(jobId)?.(returnvalue);
    waiting.delete(jobId);
  });
  const name = asked.workload === "forward" ? "first" : "take_first";
  await closedLoop(async () => {
    const saga = `saga-${randomUUID()}`;
    const ended = new Promise((resolve) => waiting.set(saga, resolve));
    const text = String(number++).padStart(Number(asked.payload), "x");
    await steps.add(name, { saga, value: { text } }, options);
    const accepted = performance.now();
    const value = await ended;
    return [accepted, value?.text === text];
  });
  process.exit(0);
}

// The same as closed_loop.py: `ready`, `begin`; `warm`, `measure`; `measuring`, `stop`; then what was measured.
async function closedLoop(saga) {
  const lines = createInterface({ input: process.stdin });
  const told = async (word, awaited) => {
    const line = once(lines, "line");
    console.log(word);
    if ((await line)[0].trim() !== awaited) process.exit(1);
  };
  let [latencies, accepted, finished, wrong, stopping] = [[], [], 0, 0, false];
  const window = Number(asked.window);
  await told("ready", "begin");
  let warm;
  const warming = new Promise((resolve) => (warm = resolve));
  const client = async () => {
    while (!stopping) {
      const began = performance.now();
      const [at, well] = await saga();
      if (!well) wrong++;
      latencies.push(performance.now() - began);
      accepted.push(at - began);
      if (++finished >= window) warm();
    }
  };
  const clients = Array.from({ length: window }, client);
  await Promise.all([warming, new Promise((resolve) => setTimeout(resolve, Number(asked.warm) * 1000))]);
  await told("warm", "measure");
  [latencies, accepted] = [[], []];
  const began = performance.now();
  await told("measuring", "stop");
  const rounded = (times) => times.map((time) => Math.round(time * 1000) / 1000);
  const found = { seconds: (performance.now() - began) / 1000, latencies: rounded(latencies), accepted: rounded(accepted) };
  stopping = true;
  await Promise.all(clients);
  process.stdout.write(JSON.stringify({ ...found, finished, wrong }) + "\n");
  await new Promise((resolve) => process.stdout.write("", resolve));
}

await (positionals[0] === "worker" ? work() : drive());
