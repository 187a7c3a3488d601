// What a real EventStoreDB 23.10.8 node does, seen through @eventstore/db-client 6.2.1, as 65 checks.
// Usage: CS='esdb://127.0.0.1:2113?tls=false' node test/conformance/eventstoredb.cjs
// A test server that wants to stand in for the real one must print "0 failed" here too.
// FULL=1 adds persistent subscriptions and projections, which Orderlog does not use. A real node passes all 75.
const {
  EventStoreDBClient,
  jsonEvent,
  binaryEvent,
  NO_STREAM,
  STREAM_EXISTS,
  ANY,
  FORWARDS,
  BACKWARDS,
  START,
  END,
  eventTypeFilter,
  streamNameFilter,
  excludeSystemEvents,
  persistentSubscriptionToStreamSettingsFromDefaults,
  persistentSubscriptionToAllSettingsFromDefaults,
  PARK,
  RETRY,
  SKIP,
} = require("@eventstore/db-client");
const { randomUUID } = require("crypto");
const CS = process.env.CS || "esdb://127.0.0.1:2113?tls=false";
const rows = [];
const notes = [];
const J = (x) => JSON.stringify(x, (k, v) => (typeof v === "bigint" ? v.toString() + "n" : v));
const sleep = (ms) => new Promise((r) => setTimeout(r, ms));
const ok = (name, pass, detail = "") => {
  rows.push([pass ? "OK" : "FAIL", name, detail]);
  console.log(pass ? "ok  " : "FAIL", name, detail);
};
const note = (s) => {
  notes.push(s);
  console.log("  note:", s);
};
const errInfo = (e) =>
  `${e.constructor.name} type=${e.type} code=${e.code} msg=${J(e.message)}` +
  (e.expectedVersion !== undefined
    ? ` streamName=${e.streamName} expected=${String(e.expectedVersion)} actual=${String(e.actualVersion)}`
    : "") +
  (e.streamName && e.expectedVersion === undefined ? ` streamName=${e.streamName}` : "") +
  (e.maxAppendSize ? ` maxAppendSize=${e.maxAppendSize}` : "");
const attempt = async (f) => {
  try {
    return { v: await f() };
  } catch (e) {
    return { e };
  }
};
const withTimeout = (p, ms, what) =>
  Promise.race([
    p,
    sleep(ms).then(() => {
      throw new Error("TIMEOUT " + what);
    }),
  ]);
const ev = (type = "t1", data = { a: 1 }, id = randomUUID(), metadata) => jsonEvent({ id, type, data, metadata });
const readAllOf = async (it) => {
  const r = [];
  for await (const x of it) r.push(x);
  return r;
};
process.on("unhandledRejection", (e) => {
  note("UNHANDLED REJECTION " + e);
});
const run = randomUUID().slice(0, 8);
const cred = { credentials: { username: "admin", password: "changeit" } };

(async () => {
  const c = EventStoreDBClient.connectionString(CS);
  const cNoThrow = EventStoreDBClient.connectionString(CS + "&throwOnAppendFailure=false");
  const caps = await c.capabilities;
  note(
    "server features: " +
      caps.serverVersion +
      " batchAppend=" +
      (await c.supports(require("@eventstore/db-client/generated/streams_grpc_pb").StreamsService.batchAppend)),
  );

  for (const [mode, opt] of [
    ["batch", {}],
    ["single", cred],
  ]) {
    const S = (n) => `${mode}${n}-${run}`;
    let r = await attempt(() => c.appendToStream(S("a"), [ev()], { expectedRevision: NO_STREAM, ...opt }));
    ok(`[${mode}] append NO_STREAM to new stream`, r.v?.success && r.v.nextExpectedRevision === 0n, r.e ? errInfo(r.e) : J(r.v));
    r = await attempt(() => c.appendToStream(S("a"), [ev(), ev(), ev()], { expectedRevision: 0n, ...opt }));
    ok(`[${mode}] append 3 events at revision 0`, r.v?.nextExpectedRevision === 3n, J(r.v));
    r = await attempt(() => c.appendToStream(S("a"), [ev()], { expectedRevision: NO_STREAM, ...opt }));
    ok(`[${mode}] NO_STREAM on existing -> WrongExpectedVersion`, r.e?.type === "wrong-expected-version", r.e ? errInfo(r.e) : J(r.v));
    r = await attempt(() => c.appendToStream(S("a"), [ev()], { expectedRevision: 1n, ...opt }));
    ok(`[${mode}] stale revision 1 (actual 3)`, r.e?.type === "wrong-expected-version", r.e ? errInfo(r.e) : J(r.v));
    r = await attempt(() => c.appendToStream(S("a"), [ev()], { expectedRevision: 99n, ...opt }));
    ok(`[${mode}] future revision 99 (actual 3)`, r.e?.type === "wrong-expected-version", r.e ? errInfo(r.e) : J(r.v));
    r = await attempt(() => c.appendToStream(S("nx"), [ev()], { expectedRevision: 5n, ...opt }));
    ok(`[${mode}] revision 5 on missing stream`, r.e?.type === "wrong-expected-version", r.e ? errInfo(r.e) : J(r.v));
    r = await attempt(() => c.appendToStream(S("nx"), [ev()], { expectedRevision: STREAM_EXISTS, ...opt }));
    ok(`[${mode}] STREAM_EXISTS on missing stream`, r.e?.type === "wrong-expected-version", r.e ? errInfo(r.e) : J(r.v));
    r = await attempt(() => c.appendToStream(S("a"), [], { expectedRevision: 3n, ...opt }));
    note(`[${mode}] empty append at right revision -> ` + (r.e ? errInfo(r.e) : J(r.v)));
    r = await attempt(() => c.appendToStream(S("a"), [], { expectedRevision: 99n, ...opt }));
    note(`[${mode}] empty append at wrong revision -> ` + (r.e ? errInfo(r.e) : J(r.v)));
    // throwOnAppendFailure=false
    r = await attempt(() => cNoThrow.appendToStream(S("a"), [ev()], { expectedRevision: 1n, ...opt }));
    ok(
      `[${mode}] throwOnAppendFailure=false returns success:false`,
      r.v?.success === false,
      (r.e ? errInfo(r.e) : J(r.v)) + "  (actual stream revision is 3)",
    );
    r = await attempt(() => cNoThrow.appendToStream(S("nx2"), [ev()], { expectedRevision: 1n, ...opt }));
    note(`[${mode}] throwOnAppendFailure=false on missing stream -> ` + (r.e ? errInfo(r.e) : J(r.v)));
    // idempotency
    const e1 = ev("idem"),
      e2 = ev("idem"),
      e3 = ev("idem");
    const f1 = await c.appendToStream(S("i"), [e1, e2], { expectedRevision: NO_STREAM, ...opt });
    for (const [nm, xr, evs] of [
      ["NO_STREAM", NO_STREAM, [e1, e2]],
      ["ANY", ANY, [e1, e2]],
      ["STREAM_EXISTS", STREAM_EXISTS, [e1, e2]],
      ["NO_STREAM first only", NO_STREAM, [e1]],
      ["rev 0, second only", 0n, [e2]],
      ["ANY second only", ANY, [e2]],
      ["ANY, old+new", ANY, [e1, e3]],
      ["NO_STREAM, both + a new third", NO_STREAM, [e1, e2, e3]],
      ["rev 1 (wrong place), same ids", 1n, [e1, e2]],
    ]) {
      const before = (await readAllOf(c.readStream(S("i"), { direction: FORWARDS }))).length;
      r = await attempt(() => c.appendToStream(S("i"), evs, { expectedRevision: xr, ...opt }));
      const after = (await readAllOf(c.readStream(S("i"), { direction: FORWARDS }))).length;
      note(
        `[${mode}] re-append ${nm}: ${r.e ? errInfo(r.e) : J(r.v)}; stream length ${before} -> ${after}` +
          (nm === "NO_STREAM" ? `; first result was ${J(f1)}` : ""),
      );
      if (["NO_STREAM", "ANY", "rev 0, second only"].includes(nm))
        ok(`[${mode}] idempotent re-append ${nm}`, !r.e && before === after, r.e ? errInfo(r.e) : J(r.v));
    }
    // delete / tombstone
    await c.appendToStream(S("d"), [ev(), ev()], { expectedRevision: NO_STREAM, ...opt });
    r = await attempt(() => c.deleteStream(S("d"), { expectedRevision: 1n }));
    ok(`[${mode}] soft delete`, !r.e, r.e ? errInfo(r.e) : J(r.v));
    r = await attempt(() => readAllOf(c.readStream(S("d"))));
    ok(`[${mode}] read soft-deleted stream -> StreamNotFound`, r.e?.type === "stream-not-found", r.e ? errInfo(r.e) : J(r.v?.length));
    r = await attempt(() => c.appendToStream(S("d"), [ev()], { expectedRevision: NO_STREAM, ...opt }));
    ok(`[${mode}] NO_STREAM append after soft delete accepted`, !r.e, r.e ? errInfo(r.e) : J(r.v));
    r = await attempt(() => readAllOf(c.readStream(S("d"))));
    note(`[${mode}] read after soft delete+append: revisions ` + J(r.v?.map((x) => x.event.revision)) + (r.e ? errInfo(r.e) : ""));
    await c.appendToStream(S("tb"), [ev(), ev()], { expectedRevision: NO_STREAM, ...opt });
    r = await attempt(() => c.tombstoneStream(S("tb"), { expectedRevision: 1n }));
    ok(`[${mode}] tombstone`, !r.e, r.e ? errInfo(r.e) : J(r.v));
    r = await attempt(() => readAllOf(c.readStream(S("tb"))));
    ok(`[${mode}] read tombstoned -> StreamDeleted`, r.e?.type === "stream-deleted", r.e ? errInfo(r.e) : J(r.v?.length));
    r = await attempt(() => c.appendToStream(S("tb"), [ev()], { expectedRevision: ANY, ...opt }));
    ok(`[${mode}] append to tombstoned -> StreamDeleted`, r.e?.type === "stream-deleted", r.e ? errInfo(r.e) : J(r.v));
    // sizes
    r = await attempt(() =>
      c.appendToStream(S("big"), [ev("big", { x: "y".repeat(900 * 1024) })], { expectedRevision: NO_STREAM, ...opt }),
    );
    ok(`[${mode}] 900 KiB event`, !r.e, r.e ? errInfo(r.e) : J(r.v));
    r = await attempt(() => c.appendToStream(S("big"), [ev("big", { x: "y".repeat(1100 * 1024) })], { expectedRevision: ANY, ...opt }));
    ok(`[${mode}] 1.1 MB event -> MaxAppendSizeExceeded`, r.e?.type === "maximum-append-size-exceeded", r.e ? errInfo(r.e) : J(r.v));
    const many = Array.from({ length: 500 }, () => ev("m", { x: "z".repeat(1000) }));
    r = await attempt(() => c.appendToStream(S("many"), many, { expectedRevision: NO_STREAM, ...opt }));
    ok(`[${mode}] 500 x 1 KB in one append`, r.v?.nextExpectedRevision === 499n, r.e ? errInfo(r.e) : J(r.v));
    const many2 = Array.from({ length: 2000 }, () => ev("m", { x: "z".repeat(1000) }));
    r = await attempt(() => c.appendToStream(S("many"), many2, { expectedRevision: 499n, ...opt }));
    note(`[${mode}] 2000 x 1 KB (2 MB) in one append -> ` + (r.e ? errInfo(r.e) : J(r.v)));
    // concurrency
    const conc = await Promise.all(
      Array.from({ length: 20 }, () => attempt(() => c.appendToStream(S("race"), [ev()], { expectedRevision: NO_STREAM, ...opt }))),
    );
    ok(
      `[${mode}] 20 racing NO_STREAM appends: exactly one wins`,
      conc.filter((x) => x.v?.success).length === 1 && conc.filter((x) => x.e?.type === "wrong-expected-version").length === 19,
      J(
        conc
          .filter((x) => x.e)
          .slice(0, 2)
          .map((x) => errInfo(x.e)),
      ),
    );
    // event details
    const em = ev("meta", { h: "é✓", n: 1 }, randomUUID(), { corr: "x1", $correlationId: run });
    await c.appendToStream(S("m"), [em, binaryEvent({ type: "bin", data: new Uint8Array([1, 2, 3]), metadata: new Uint8Array([9]) })], {
      expectedRevision: NO_STREAM,
      ...opt,
    });
    const got = await readAllOf(c.readStream(S("m")));
    ok(
      `[${mode}] metadata/binary/unicode round trip`,
      got[0].event.id === em.id && got[0].event.data.h === "é✓" && got[0].event.metadata.corr === "x1" && got[1].event.data[2] === 3,
      J({ ...got[0].event, created: undefined }),
    );
    if (mode === "batch")
      note(
        "recorded event fields: " +
          Object.keys(got[0].event).join(",") +
          "; created type " +
          got[0].event.created?.constructor?.name +
          "=" +
          got[0].event.created +
          "; resolved keys " +
          Object.keys(got[0]).join(",") +
          " commitPosition=" +
          got[0].commitPosition +
          " position=" +
          J(got[0].event.position),
      );
  }
  // reads
  const R = `read-${run}`;
  let last;
  for (let i = 0; i < 10; i++)
    last = await c.appendToStream(R, [ev("r", { i })], { expectedRevision: i === 0 ? NO_STREAM : BigInt(i - 1) });
  let x = await readAllOf(c.readStream(R, { direction: FORWARDS, fromRevision: START, maxCount: 4 }));
  ok("readStream forwards maxCount", J(x.map((e) => e.event.data.i)) === "[0,1,2,3]", J(x.map((e) => e.event.data.i)));
  x = await readAllOf(c.readStream(R, { direction: FORWARDS, fromRevision: 7n }));
  ok("readStream forwards from revision 7", J(x.map((e) => e.event.data.i)) === "[7,8,9]", J(x.map((e) => e.event.data.i)));
  x = await readAllOf(c.readStream(R, { direction: BACKWARDS, fromRevision: END, maxCount: 3 }));
  ok("readStream backwards from END", J(x.map((e) => e.event.data.i)) === "[9,8,7]", J(x.map((e) => e.event.data.i)));
  x = await readAllOf(c.readStream(R, { direction: BACKWARDS, fromRevision: 2n }));
  ok("readStream backwards from 2", J(x.map((e) => e.event.data.i)) === "[2,1,0]", J(x.map((e) => e.event.data.i)));
  x = await attempt(() => readAllOf(c.readStream(R, { direction: FORWARDS, fromRevision: 100n })));
  note("readStream from beyond end -> " + (x.e ? errInfo(x.e) : J(x.v)));
  x = await attempt(() => readAllOf(c.readStream("nope-" + run)));
  ok("readStream missing -> StreamNotFound (on iteration)", x.e?.type === "stream-not-found", x.e ? errInfo(x.e) : J(x.v));
  x = await attempt(() => readAllOf(c.readStream(R, { maxCount: 0 })));
  note("readStream maxCount 0 -> " + (x.e ? errInfo(x.e) : J(x.v?.length)));
  // $all
  const lastPos = last.position;
  x = await readAllOf(c.readAll({ direction: FORWARDS, fromPosition: lastPos }));
  ok(
    "readAll forwards from an append's position is INCLUSIVE",
    x[0]?.event?.data?.i === 9 && x[0].event.streamId === R,
    `append position ${J(lastPos)}; first read ${x[0]?.event?.streamId}@${x[0]?.event?.revision} position ${J(x[0]?.event?.position)} commitPosition=${x[0]?.commitPosition}; total ${x.length}`,
  );
  x = await readAllOf(c.readAll({ direction: BACKWARDS, fromPosition: END, maxCount: 5 }));
  ok("readAll backwards from END", x.length === 5, J(x.map((e) => e.event.streamId + "@" + e.event.revision)));
  x = await readAllOf(c.readAll({ direction: BACKWARDS, fromPosition: lastPos, maxCount: 1 }));
  note(
    "readAll backwards from an append's position gives " +
      J(x.map((e) => [e.event.streamId, e.event.revision, e.event.position])) +
      " (exclusive when it is not that event)",
  );
  x = await readAllOf(c.readAll({ direction: FORWARDS, fromPosition: START, maxCount: 20 }));
  note(
    "first events of $all: " + J(x.map((e) => e.event.type).slice(0, 12)) + " positions " + J(x.slice(0, 3).map((e) => e.event.position)),
  );
  x = await attempt(() =>
    readAllOf(
      c.readAll({ direction: FORWARDS, fromPosition: { commit: lastPos.commit + 1n, prepare: lastPos.prepare + 1n }, maxCount: 1 }),
    ),
  );
  note("readAll from a position that is not an event (+1) -> " + (x.e ? errInfo(x.e) : J(x.v?.map((e) => e.event?.position))));
  x = await attempt(() =>
    readAllOf(c.readAll({ direction: FORWARDS, fromPosition: { commit: 10n ** 12n, prepare: 10n ** 12n }, maxCount: 1 })),
  );
  note("readAll from a position far beyond the end -> " + (x.e ? errInfo(x.e) : J(x.v?.length)));
  x = await readAllOf(
    c.readAll({ direction: FORWARDS, fromPosition: START, filter: eventTypeFilter({ prefixes: ["r"] }), maxCount: 1000 }),
  ).catch((e) => ({ e }));
  note("readAll with filter -> " + (x.e ? errInfo(x.e) : x.length + " events, types " + J([...new Set(x.map((e) => e.event.type))])));
  // metadata
  const M = `maxc-${run}`;
  for (let i = 0; i < 10; i++) await c.appendToStream(M, [ev("mc", { i })]);
  let m = await c.setStreamMetadata(M, { maxCount: 3, foo: "bar" });
  x = await readAllOf(c.readStream(M));
  const gm = await c.getStreamMetadata(M);
  ok(
    "stream metadata $maxCount trims reads",
    J(x.map((e) => e.event.data.i)) === "[7,8,9]" && gm.metadata.maxCount === 3 && gm.metadata.foo === "bar",
    J(gm),
  );
  const gm2 = await attempt(() => c.getStreamMetadata("nope2-" + run));
  note("getStreamMetadata of missing stream -> " + (gm2.e ? errInfo(gm2.e) : J(gm2.v)));
  await c.setStreamMetadata(M, { truncateBefore: 9 });
  x = await readAllOf(c.readStream(M));
  ok("stream metadata $tb", J(x.map((e) => e.event.data.i)) === "[9]", J(x.map((e) => e.event.data.i)));

  // stream subscription with 10k events
  const T = `tenk-${run}`;
  const t0 = Date.now();
  for (let i = 0; i < 20; i++)
    await c.appendToStream(
      T,
      Array.from({ length: 500 }, (_, k) => ev("k10", { i: i * 500 + k })),
      {},
    );
  note(`append of 10,000 events in 20 batches took ${Date.now() - t0} ms`);
  const collect = (sub, want, ms, onEv) =>
    withTimeout(
      new Promise((res, rej) => {
        const got = [];
        sub.on("data", (e) => {
          got.push(e);
          onEv && onEv(e, got);
          if (got.length >= want) res(got);
        });
        sub.on("error", rej);
      }),
      ms,
      "collect " + want,
    );
  {
    const evs = [];
    const sub = c.subscribeToStream(T, { fromRevision: START });
    sub
      .on("confirmation", () => evs.push("confirmation"))
      .on("caughtUp", () => evs.push("caughtUp"))
      .on("fellBehind", () => evs.push("fellBehind"));
    const t = Date.now();
    const g = await collect(sub, 10000, 60000);
    const dt = Date.now() - t;
    await sleep(300);
    ok(
      "catch-up subscribeToStream 10,000 events in order",
      g.every((e, i) => e.event.data.i === i),
      `${dt} ms; lifecycle ${J(evs)}`,
    );
    const live = collect(sub, 1, 5000);
    const t1 = Date.now();
    await c.appendToStream(T, [ev("k10", { i: 10000 })]);
    const l = await live;
    ok("same subscription goes live", l[0].event.data.i === 10000, `${Date.now() - t1} ms append->event`);
    await sub.unsubscribe();
    const sub2 = c.subscribeToStream(T, { fromRevision: 9998n });
    const g2 = await collect(sub2, 2, 5000);
    ok("subscribeToStream fromRevision is EXCLUSIVE", g2[0].event.data.i === 9999, J(g2.map((e) => e.event.data.i)));
    await sub2.unsubscribe();
    const nx = [];
    const sub3 = c.subscribeToStream("notyet-" + run, { fromRevision: START });
    sub3
      .on("caughtUp", () => nx.push("caughtUp"))
      .on("confirmation", () => nx.push("confirmation"))
      .on("error", (e) => nx.push(errInfo(e)));
    await sleep(500);
    const lv = collect(sub3, 1, 5000);
    await c.appendToStream("notyet-" + run, [ev()]);
    await lv;
    ok("subscribe to not-yet-existing stream", true, J(nx));
    await sub3.unsubscribe();
    const sd = [];
    const sub4 = c.subscribeToStream(`batchtb-${run}`, { fromRevision: START });
    sub4
      .on("data", () => {})
      .on("error", (e) => sd.push(errInfo(e)))
      .on("end", () => sd.push("end"))
      .on("close", () => sd.push("close"));
    await sleep(700);
    note("subscribe to tombstoned stream -> " + J(sd));
  }
  // filtered $all
  {
    const P = "flt" + run + "_";
    for (let i = 0; i < 40; i++) await c.appendToStream(`f-${run}-${i}`, [ev(P + "x", { i }), ev("other" + run, { i })]);
    for (const [label, filt] of [
      ["interval 1 (default window)", { checkpointInterval: 1 }],
      ["interval 5", { checkpointInterval: 5 }],
      ["interval 1, maxSearchWindow 1000", { checkpointInterval: 1, maxSearchWindow: 1000 }],
    ]) {
      const cps = [];
      const life = [];
      const sub = c.subscribeToAll({
        fromPosition: START,
        filter: eventTypeFilter({
          prefixes: [P],
          ...filt,
          checkpointReached: (s, p) => {
            cps.push(p);
          },
        }),
      });
      sub
        .on("confirmation", () => life.push("confirmation"))
        .on("caughtUp", () => life.push("caughtUp@" + cps.length))
        .on("fellBehind", () => life.push("fellBehind"));
      const g = (await collect(sub, 40, 30000)).slice(0, 40);
      await sleep(500);
      const nCatch = cps.length;
      const lastEvt = g[39].event.position;
      ok(
        `subscribeToAll type-prefix filter from START, ${label}`,
        g.every((e, i) => e.event.data.i === i && e.event.type.startsWith(P)),
        `${nCatch} checkpoints during catch-up; ${J(life)}`,
      );
      const pos = [];
      sub.on("data", (e) => pos.push(e.event.position.commit));
      const others = [];
      for (let i = 0; i < 200; i++) others.push((await c.appendToStream(`o-${run}`, [ev("unrelated", { i })])).position);
      await sleep(700);
      const liveCps = cps.slice(nCatch);
      const idx = liveCps.map((p) => others.findIndex((q) => q.commit === p.commit));
      note(
        `filtered, ${label}: last catch-up checkpoint ${J(cps[nCatch - 1])} vs last matching event ${J(lastEvt)}; while 200 unrelated events appended live: ${liveCps.length} checkpoints at unrelated event index ${J(idx)} (commit==prepare? ${liveCps.every((p) => p.commit === p.prepare)})`,
      );
      const lv = collect(sub, 1, 5000);
      const t1 = Date.now();
      await c.appendToStream(`f-${run}-live`, [ev(P + "x", { i: -1 })], {});
      await lv;
      ok(`  ... and live event arrives, ${label}`, true, `${Date.now() - t1} ms`);
      await sub.unsubscribe();
      await c.deleteStream(`f-${run}-live`);
      await c.setStreamMetadata(`f-${run}-live`, { truncateBefore: 100 });
    }
    // resume from checkpoint/event position
    const sub = c.subscribeToAll({ fromPosition: START, filter: eventTypeFilter({ prefixes: [P] }) });
    const g = await collect(sub, 40, 30000);
    await sub.unsubscribe();
    const sub2 = c.subscribeToAll({ fromPosition: g[9].event.position, filter: eventTypeFilter({ prefixes: [P] }) });
    const g2 = await collect(sub2, 3, 10000);
    await sub2.unsubscribe();
    ok("subscribeToAll resume from an event's position is EXCLUSIVE", g2[0].event.data.i === 10, J(g2.map((e) => e.event.data.i)));
    const cps = [];
    const end = c.subscribeToAll({
      fromPosition: END,
      filter: eventTypeFilter({
        prefixes: [P],
        checkpointInterval: 1,
        checkpointReached: (s, p) => {
          cps.push(p);
        },
      }),
    });
    const life = [];
    end.on("confirmation", () => life.push("confirmation")).on("caughtUp", () => life.push("caughtUp"));
    await sleep(300);
    const lv = collect(end, 1, 5000);
    await c.appendToStream(`f-${run}-z`, [ev(P + "x", { i: 77 })]);
    const l = await lv;
    ok("subscribeToAll filter from END (live only)", l[0].event.data.i === 77, J(life));
    await end.unsubscribe();
    const un = c.subscribeToAll({ fromPosition: START });
    const ul = [];
    un.on("caughtUp", () => ul.push("caughtUp"));
    let n = 0;
    un.on("data", () => n++);
    await sleep(4000);
    note(`unfiltered $all from START: ${n} events in 4 s, ${J(ul)}`);
    await un.unsubscribe();
    const ex = c.subscribeToAll({ fromPosition: START, filter: excludeSystemEvents() });
    let n2 = 0;
    ex.on("data", () => n2++);
    await sleep(4000);
    note(`$all excludeSystemEvents: ${n2} events`);
    await ex.unsubscribe();
  }
  // persistent subscriptions
  if (process.env.FULL) {
    const S = `psub-${run}`;
    for (let i = 0; i < 10; i++) await c.appendToStream(S, [ev("p", { i })]);
    await c.createPersistentSubscriptionToStream(
      S,
      "g",
      persistentSubscriptionToStreamSettingsFromDefaults({
        startFrom: START,
        maxRetryCount: 2,
        checkPointLowerBound: 1,
        checkPointUpperBound: 5,
        checkPointAfter: 500,
      }),
    );
    const dup = await attempt(() =>
      c.createPersistentSubscriptionToStream(S, "g", persistentSubscriptionToStreamSettingsFromDefaults({ startFrom: START })),
    );
    ok("persistent: duplicate create -> exists error", dup.e?.type === "persistent-subscription-exists", dup.e ? errInfo(dup.e) : "");
    const sub = c.subscribeToPersistentSubscriptionToStream(S, "g", { bufferSize: 10 });
    const seen = {};
    const log = [];
    sub.on("confirmation", () => log.push("confirmation")).on("error", (e) => log.push(errInfo(e)));
    sub.on("data", async (e) => {
      const i = e.event.data.i;
      seen[i] = (seen[i] || 0) + 1;
      log.push(i + (e.retryCount ? "r" + e.retryCount : ""));
      if (i === 3 && seen[i] === 1) return sub.nack(RETRY, "again", e);
      if (i === 5) return sub.nack(PARK, "bad", e);
      if (i === 6) return sub.nack(SKIP, "skip", e);
      if (i === 7) return sub.nack(RETRY, "always", e);
      await sub.ack(e);
    });
    await sleep(4000);
    ok(
      "persistent: ack / nack retry / park / skip",
      seen[3] === 2 && seen[5] === 1 && seen[6] === 1 && Object.keys(seen).length === 10,
      J(log),
    );
    note(`persistent: event always nacked RETRY with maxRetryCount 2 was delivered ${seen[7]} times`);
    const parked = await attempt(() => readAllOf(c.readStream(`$persistentsubscription-${S}::g-parked`, { resolveLinkTos: true })));
    ok(
      "persistent: parked stream holds parked event(s)",
      !parked.e && parked.v.some((e) => e.event?.data?.i === 5),
      parked.e ? errInfo(parked.e) : J(parked.v.map((e) => [e.event?.data?.i, e.link?.type, e.link?.metadata])),
    );
    const info = await attempt(() => c.getPersistentSubscriptionToStreamInfo(S, "g", {}));
    note("persistent info: " + (info.e ? errInfo(info.e) : J({ status: info.v.status, stats: info.v.stats })));
    seen[5] = 0;
    const rp = await attempt(() => c.replayParkedMessagesToStream(S, "g"));
    await sleep(1500);
    ok("persistent: replayParked redelivers", !rp.e && seen[5] >= 1, rp.e ? errInfo(rp.e) : `event 5 seen again ${seen[5]}x`);
    await sub.unsubscribe();
    await sleep(300);
    for (let i = 10; i < 12; i++) await c.appendToStream(S, [ev("p", { i })]);
    const s2 = c.subscribeToPersistentSubscriptionToStream(S, "g");
    const seen2 = [];
    s2.on("data", (e) => {
      seen2.push(e.event.data.i);
      s2.ack(e);
    });
    await sleep(1500);
    ok("persistent: resumes after reconnect", seen2.includes(10) && seen2.includes(11), J(seen2));
    const dl = [];
    s2.on("error", (e) => dl.push(errInfo(e)))
      .on("end", () => dl.push("end"))
      .on("close", () => dl.push("close"));
    const del = await attempt(() => c.deletePersistentSubscriptionToStream(S, "g"));
    await sleep(700);
    note("persistent: deleting the group while subscribed -> delete " + (del.e ? errInfo(del.e) : "ok") + ", subscriber sees " + J(dl));
    const s3 = c.subscribeToPersistentSubscriptionToStream(S, "nogroup");
    const e3 = [];
    s3.on("error", (e) => e3.push(errInfo(e))).on("data", () => {});
    await sleep(700);
    ok("persistent: missing group -> error", e3.length > 0 && /does-not-exist/.test(e3[0]), J(e3));
    const pa = await attempt(() =>
      c.createPersistentSubscriptionToAll("ga-" + run, persistentSubscriptionToAllSettingsFromDefaults({ startFrom: START }), {
        filter: eventTypeFilter({ prefixes: ["flt" + run] }),
      }),
    );
    if (pa.e) ok("persistent to $all with filter", false, errInfo(pa.e));
    else {
      const s4 = c.subscribeToPersistentSubscriptionToAll("ga-" + run);
      let n = 0;
      s4.on("data", (e) => {
        n++;
        s4.ack(e);
      }).on("error", (e) => note(errInfo(e)));
      await sleep(3000);
      ok("persistent to $all with type-prefix filter", n >= 41, n + " events");
      await s4.unsubscribe();
      await c.deletePersistentSubscriptionToAll("ga-" + run);
    }
  }
  // projections
  if (process.env.FULL) {
    const cat = "cat" + run;
    for (let i = 0; i < 5; i++) await c.appendToStream(`${cat}-${i}`, [ev("ct", { i })]);
    await sleep(1500);
    const r = await attempt(() => readAllOf(c.readStream(`$ce-${cat}`, { resolveLinkTos: true })));
    ok(
      "$by_category projection ($ce- stream)",
      r.v?.length === 5,
      r.e ? errInfo(r.e) : J(r.v.map((e) => [e.event?.streamId, e.link?.revision, e.event?.data?.i])),
    );
    const r2 = await attempt(() => readAllOf(c.readStream(`$et-k10`, { resolveLinkTos: true, maxCount: 3 })));
    ok("$by_event_type projection ($et- stream)", r2.v?.length === 3, r2.e ? errInfo(r2.e) : "");
    const nm = "proj" + run;
    const pr = await attempt(async () => {
      await c.createProjection(nm, `fromCategory('${cat}').when({$init(){return {n:0}}, ct(s,e){ s.n += e.data.i; return s; }})`);
      await c.enableProjection(nm).catch(() => {});
      await sleep(3000);
      return [await c.getProjectionStatus(nm).then((s) => s.status), await c.getProjectionState(nm)];
    });
    ok("user JS projection (Jint)", !pr.e && pr.v[1]?.n === 10, pr.e ? errInfo(pr.e) : J(pr.v));
  }
  console.log("\n=== TABLE");
  for (const r of rows) console.log(r.map((s, i) => (i === 2 ? String(s).slice(0, 170) : s)).join(" | "));
  console.log(`\n${rows.filter((r) => r[0] === "OK").length} ok, ${rows.filter((r) => r[0] !== "OK").length} failed`);
  await c.dispose();
  await cNoThrow.dispose();
  setTimeout(() => process.exit(rows.some((r) => r[0] !== "OK") ? 1 : 0), 300);
})().catch((e) => {
  console.error("FATAL", e);
  process.exit(1);
});
