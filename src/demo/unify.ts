/**
 * The second part of the demo: customers, clients and leads become contacts. Who is whom afterwards is read from the
 * database by a client of its own.
 */
import type { Document } from 'mongodb';
import { runUntilKilled } from './child.js';
import type { DemoServer } from './server.js';
import { count, loadExample, type Story } from './story.js';

const MIGRATION = '20261126T0900-unify-contacts';
const SOURCES = ['customers', 'clients', 'leads'] as const;

interface Named {
  readonly collection: string;
  readonly id: unknown;
}

interface Merge {
  readonly groups: number;
  readonly doubles: number;
  readonly largest: number;
}

export class Unification {
  constructor(
    private readonly story: Story,
    private readonly server: DemoServer,
  ) {}

  /** @param people how many there are, each in one to three collections */
  async tell(people: number): Promise<void> {
    const { story, server } = this;
    await server.empty();
    await loadExample(({ loadLegacy }) => loadLegacy(server.db, { people }));
    const before = [await server.documentsHash(), await server.structure()] as const;
    const each = await Promise.all(SOURCES.map((name) => server.db.collection(name).countDocuments()));
    const named = SOURCES.map((name, at) => `${count(each[at])} ${name}`).join(', ');
    story.say('');
    story.say(
      `Another part of it: ${named}, who are ${count(people)} people; invoices, tasks and notes refer to them.`,
    );
    await this.#foreseen(people);
    await this.#merged(people);
    await this.#followed();
    await this.#back(before);
  }

  async #foreseen(people: number): Promise<void> {
    await this.story.stage(
      'Who becomes whom: told before anything is written',
      `run ${MIGRATION} --dry-run`,
      async () => {
        const { code, json } = await this.story.godwit('run', MIGRATION, '--dry-run');
        const [merge] = json['merges'] as Merge[];
        const { groups = 0, doubles = 0, largest = 0 } = merge ?? {};
        return {
          ok: code === 0 && groups === people,
          figures: { groups, doubles, largest, wouldInsert: json['wouldInsert'], wouldChange: json['wouldChange'] },
          lines: [
            `${count(groups)} contacts, ${count(doubles)} of them from two documents or more, at most ${count(largest)}; ${count(json['wouldChange'])} documents refer to them`,
          ],
        };
      },
    );
  }

  async #merged(people: number): Promise<void> {
    await this.story.stage('Merge, kill it half-way, and run it again', `run ${MIGRATION}`, async () => {
      const { story, server } = this;
      const contacts = server.db.collection('contacts');
      const killed = await runUntilKilled(
        ['run', MIGRATION, '--batch-size', '100'],
        story.at,
        async () => (await contacts.countDocuments()) >= people / 2,
      );
      const half = await contacts.countDocuments();
      const { code, json } = await story.godwit('run', MIGRATION);
      const { named, twice } = await this.#homes();
      const there = await Promise.all(SOURCES.map((name) => server.db.collection(name).countDocuments()));
      const all = there.reduce((sum, one) => sum + one, 0);
      const emails = (await contacts.distinct('email')).length;
      const withEmail = await contacts.countDocuments({ email: { $exists: true } });
      return {
        ok: killed && code === 0 && named.size === all && twice === 0 && emails === withEmail,
        figures: { killed, half, inserted: json['inserted'], named: named.size, twice },
        lines: [
          `${killed ? 'SIGKILL' : 'it ended before it could be killed'} at ${count(half)} of ${count(people)} contacts; then ${String(json['state'])}: ${count(json['inserted'])} inserted`,
          `${count(named.size)} of ${count(all)} documents are named by one contact, ${count(twice)} by two; ${count(withEmail)} e-mails, ${count(emails)} different ones`,
        ],
      };
    });
  }

  /** By collection and `_id`, the contact that names it. */
  async #homes(): Promise<{ readonly named: Map<string, unknown>; readonly twice: number }> {
    const named = new Map<string, unknown>();
    let twice = 0;
    for await (const { _id, _legacy } of this.server.db.collection('contacts').find()) {
      for (const { collection, id } of _legacy as Named[]) {
        const text = `${collection}/${String(id)}`;
        if (named.has(text)) twice += 1;
        named.set(text, _id);
      }
    }
    return { named, twice };
  }

  async #followed(): Promise<void> {
    await this.story.stage('Verify: every reference has followed', `verify ${MIGRATION}`, async () => {
      const { code, json } = await this.story.godwit('verify', MIGRATION);
      const checks = json['checks'] as { ok: boolean }[];
      const { db } = this.server;
      const ids = new Set((await db.collection('contacts').distinct('_id')).map(String));
      const values = [
        ...(await db.collection('invoices').find().toArray()).map(({ client }) => client as unknown),
        ...(await db.collection('tasks').find().toArray()).flatMap(({ customers }) => customers as unknown[]),
        ...(await db.collection('notes').find().toArray()).map(({ subject }) => (subject as Document)['id'] as unknown),
      ];
      const lost = values.filter((value) => !ids.has(String(value))).length;
      const dangled = await db.collection('invoices').countDocuments({ client: NOBODY });
      return {
        ok: code === 0 && lost === dangled,
        figures: { checks: checks.length, references: values.length, dangling: lost },
        lines: [
          `${checks.filter(({ ok }) => ok).length} of ${checks.length} checks hold; ${count(values.length - lost)} references name a contact, ${count(lost)} named nobody before and do so still`,
        ],
      };
    });
  }

  async #back([hash, structure]: readonly [string, string]): Promise<void> {
    await this.story.stage('Roll back: documents, indexes, validators', `rollback ${MIGRATION}`, async () => {
      const { code, json } = await this.story.godwit('rollback', MIGRATION);
      const after = await this.server.documentsHash();
      const isSame = after === hash && (await this.server.structure()) === structure;
      return {
        ok: code === 0 && isSame && json['identical'] === true,
        figures: { removed: json['removed'], restored: json['restored'], identical: isSame },
        lines: [
          `${count(json['removed'])} contacts removed again, ${count(json['restored'])} documents restored; dbHash of six collections, their indexes and validators: ${isSame ? 'IDENTICAL' : 'DIFFERENT'}`,
        ],
      };
    });
  }
}

/** What the example's invoices name where somebody was deleted by hand. */
const NOBODY = 999_999;
