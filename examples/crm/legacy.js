/**
 * Three collections for the same people, as a CRM grows them: customers of the shop, clients of the office, leads of the
 * fairs. Every third person or so is in more than one of them: under another spelling of the e-mail, another way to write
 * the phone, with other values in the same fields. Invoices, notes and tasks refer to them.
 *
 * Deterministic, as generate.js is.
 */
import { Decimal128, ObjectId } from 'bson';
import * as messy from './messy-values.js';

/**
 * @typedef {import('./messy-values.js').Random} Random
 * @typedef {Record<string, unknown>} Doc
 * @typedef {'customers' | 'clients' | 'leads'} Role
 * @typedef {{ index: number, first: string, last: string, email: string, phone: string }} Somebody
 * @typedef {Record<'customers' | 'clients' | 'leads' | 'invoices' | 'notes' | 'tasks', Doc[]>} Legacy
 */

/** Who is where. Three of ten people are in two collections or all three. @type {ReadonlyArray<readonly [number, readonly Role[]]>} */
const ROLES = [
  [38, ['customers']],
  [20, ['clients']],
  [12, ['leads']],
  [12, ['customers', 'clients']],
  [7, ['customers', 'leads']],
  [5, ['clients', 'leads']],
  [6, ['customers', 'clients', 'leads']],
];

/**
 * @param {object} [options]
 * @param {number} [options.people] 2,000 by default
 * @param {number} [options.seed]
 * @returns {Legacy}
 */
export function generateLegacy({ people = 2_000, seed = 20_261_126 } = {}) {
  const random = messy.createRandom(seed);
  /** @type {Legacy} */
  const all = { customers: [], clients: [], leads: [], invoices: [], notes: [], tasks: [] };
  for (let index = 0; index < people; index += 1) {
    const somebody = personOf(random, index);
    const roles = random.weighted(ROLES);
    const isChain = roles.length === 3;
    // Of three, the client is the link: the customer's e-mail, the lead's phone. Of two, one or the other.
    const byPhone = !isChain && roles.length === 2 && random.chance(30);
    for (const role of roles) {
      const hasEmail = isChain ? role !== 'leads' : !byPhone || role === roles[0];
      const hasPhone = isChain ? role !== 'customers' : byPhone || random.chance(60) || !hasEmail;
      all[role].push(DOCUMENTS[role](random, somebody, { hasEmail, hasPhone }, all[role].length));
    }
  }
  refer(random, all);
  return all;
}

/** @param {Random} random @param {number} index @returns {Somebody} */
function personOf(random, index) {
  const { first, last, email } = messy.person(random);
  const digits = String(index).padStart(6, '0');
  // Nobody shares an address or a number: the prefix 900 is made up.
  return { index, first, last, email: email.replace('@', `.${index}@`), phone: `900${digits}` };
}

/** @param {Random} random @param {string} email */
const spelled = (random, email) =>
  random.weighted([
    [50, email],
    [15, email.toUpperCase()],
    [20, ` ${email}`],
    [15, `mailto:${email}`],
  ]);

/** @param {Random} random @param {string} phone nine digits */
function dialled(random, phone) {
  const parts = `${phone.slice(0, 3)} ${phone.slice(3, 6)} ${phone.slice(6)}`;
  return random.pick([`+351 ${parts}`, `00351${phone}`, `+351${phone}`, `+351-${parts.replaceAll(' ', '-')}`]);
}

/** @typedef {{ hasEmail: boolean, hasPhone: boolean }} Reach */

/** @type {Record<Role, (random: Random, somebody: Somebody, reach: Reach, number: number) => Doc>} */
const DOCUMENTS = {
  customers: (random, { first, last, email, phone }, { hasEmail, hasPhone }, number) => ({
    // The shop began with numbers, as the office did: some of both are the same.
    _id: number % 10 === 0 ? number + 1 : new ObjectId(`65000000${String(number).padStart(16, '0')}`),
    firstName: first,
    lastName: last,
    ...(hasEmail ? { email: spelled(random, email) } : {}),
    ...(hasPhone ? { phone: dialled(random, phone) } : {}),
    address: messy.address(random),
    balance: Decimal128.fromString(`${random.integer(0, 90_000)}.50`),
    tags: messy.tags(random),
    createdAt: messy.moment(random),
  }),
  clients: (random, { first, last, email, phone }, { hasEmail, hasPhone }, number) => ({
    _id: number + 1,
    fullName: random.chance(70) ? `${first} ${last}` : `${last}, ${first.slice(0, 1)}.`,
    ...(hasEmail ? { mail: spelled(random, email) } : {}),
    ...(hasPhone ? { tel: dialled(random, phone) } : {}),
    firm: random.chance(60) ? random.english.company.name() : null,
    city: random.pick(['Porto', 'Lisboa', 'Braga', null]),
    since: messy.moment(random),
  }),
  leads: (random, { first, email, phone }, { hasEmail, hasPhone }, number) => ({
    _id: number + 1,
    name: first,
    ...(hasEmail ? { email: spelled(random, email) } : {}),
    ...(hasPhone ? { mobile: dialled(random, phone) } : {}),
    fair: random.pick(['Porto 2024', 'Lisboa 2025', 'Madrid 2025']),
    score: random.integer(1, 100),
    metAt: messy.moment(random),
  }),
};

/** A client whom somebody deleted by hand: what names him dangles, before and after. */
const NOBODY = 999_999;

/** By `_id`, in arrays, and by kind and `_id`. @param {Random} random @param {Legacy} all */
function refer(random, { customers, clients, leads, invoices, notes, tasks }) {
  const idOf = (/** @type {Doc[]} */ documents) => random.pick(documents)['_id'];
  for (let number = 1; number <= clients.length * 1.5; number += 1)
    invoices.push({
      _id: `INV-${String(number).padStart(6, '0')}`,
      client: random.chance(1) ? NOBODY : idOf(clients),
      total: Decimal128.fromString(`${random.integer(10, 9_000)}.00`),
      at: messy.moment(random),
    });
  for (let number = 1; number <= customers.length / 2; number += 1)
    tasks.push({
      _id: number,
      what: random.pick(['call back', 'send the offer', 'visit', 'ask for the papers']),
      customers: Array.from({ length: random.integer(1, 4) }, () => idOf(customers)),
      due: messy.moment(random),
    });
  const kinds = { Customer: customers, Client: clients, Lead: leads };
  for (let number = 1; number <= customers.length; number += 1) {
    const kind = random.pick(/** @type {(keyof typeof kinds)[]} */ (['Customer', 'Client', 'Lead']));
    notes.push({ _id: number, subject: { kind, id: idOf(kinds[kind]) }, text: random.english.company.catchPhrase() });
  }
}
