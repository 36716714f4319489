import { test, expect } from 'vitest';
import { MongoClient } from 'mongodb';
import { openSession, closeSession } from '/work/main/src/verbs/session.js';
import { startRun } from '/work/main/src/verbs/run.js';
import { startRollback } from '/work/main/src/verbs/rollback.js';
import { loadCustomers } from '/work/main/examples/crm/load.js';
test("smoke", async () => {
  const uri='mongodb://127.0.0.1:29017/smoke?directConnection=true';
  const c=new MongoClient(uri); const db=c.db('smoke'); await db.dropDatabase();
  await loadCustomers(db,{count:20000,seed:1,broken:0});
  const h=async()=>(await db.command({dbHash:1,collections:['customers']})).collections.customers;
  const h0=await h();
  const s=await openSession({cwd:'/work/main/examples/crm',uri});
  s.events.on('run:note',(n)=>console.log(n.note)); 
  try { const r=startRun(s,'normalise-customers',{limit:100}); console.log((await r.result).seconds); 
   const r1=startRun(s,'normalise-customers'); console.log((await r1.result).seconds); 
   console.log(h0===await h());
   const d=startRollback(s,'normalise-customers',{dryRun:true}); console.log((await d.result).seconds);
   const b=startRollback(s,'normalise-customers'); console.log((await b.result).seconds);
   console.log(h0, await h());
   expect(await h()).toBe(h0);
   const b2=startRollback(s,'normalise-customers'); console.log((await b2.result).seconds);
   const r2=startRun(s,'normalise-customers'); {const x=await r2.result; console.log(x.state,x.seconds, x.conflictsRetried)};
  } catch(e:any){ console.log(e, e.cause); throw e }
  await closeSession(s); await c.close();
});
