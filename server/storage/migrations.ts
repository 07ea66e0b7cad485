/**
 * How the tables came to be, step by step. A step that has been released is never altered: a change to the tables is a
 * new step at the end. Written with Kysely's schema builder, so that every database takes the same steps.
 */
import { type Kysely, type Migration, sql } from 'kysely'

export const MIGRATIONS: Readonly<Record<string, Migration>> = {
  '0001-the-log': {
    async up(db: Kysely<unknown>) {
      // Revisions and moments are 64-bit in every database: a 32-bit column runs out.
      await db.schema
        .createTable('logs')
        .addColumn('name', 'text', column => column.primaryKey())
        .addColumn('epoch', 'text', column => column.notNull())
        .addColumn('revision', 'bigint', column => column.notNull())
        .addColumn('hash', 'text', column => column.notNull())
        .addColumn('digest', 'text', column => column.notNull())
        .addColumn('seal', 'text', column => column.notNull())
        .execute()
      await db.schema
        .createTable('changes')
        .addColumn('log', 'text', column => column.notNull().references('logs.name'))
        .addColumn('revision', 'bigint', column => column.notNull())
        .addColumn('at', 'bigint', column => column.notNull())
        .addColumn('actor', 'text', column => column.notNull())
        .addColumn('action', 'text', column => column.notNull())
        .addColumn('comment', 'text')
        .addColumn('edits', 'text', column => column.notNull())
        .addColumn('reverts', 'bigint')
        .addColumn('hash', 'text', column => column.notNull())
        .addColumn('previousHash', 'text', column => column.notNull())
        .addPrimaryKeyConstraint('changes_key', ['log', 'revision'])
        .execute()
      await db.schema.createIndex('changes_by_moment').on('changes').columns(['log', 'at']).execute()
      await db.schema
        .createTable('changed_documents')
        .addColumn('log', 'text', column => column.notNull())
        .addColumn('type', 'text', column => column.notNull())
        .addColumn('key', 'text', column => column.notNull())
        .addColumn('revision', 'bigint', column => column.notNull())
        .addPrimaryKeyConstraint('changed_documents_key', ['log', 'type', 'key', 'revision'])
        .addForeignKeyConstraint('changed_documents_change', ['log', 'revision'], 'changes', ['log', 'revision'])
        .execute()
      await db.schema.createIndex('changed_documents_by_revision').on('changed_documents').columns(['log', 'revision']).execute()
      await db.schema
        .createTable('documents')
        .addColumn('log', 'text', column => column.notNull().references('logs.name'))
        .addColumn('type', 'text', column => column.notNull())
        .addColumn('key', 'text', column => column.notNull())
        .addColumn('body', 'text', column => column.notNull())
        .addColumn('hash', 'text', column => column.notNull())
        .addPrimaryKeyConstraint('documents_key', ['log', 'type', 'key'])
        .execute()
    },
  },
  '0002-evaluation-counts': {
    async up(db: Kysely<unknown>) {
      await db.schema
        .createTable('counted_flags')
        .addColumn('id', 'bigint', column => column.primaryKey())
        .addColumn('log', 'text', column => column.notNull())
        .addColumn('flag', 'text', column => column.notNull())
        .addColumn('firstSeen', 'bigint', column => column.notNull())
        .addColumn('lastSeen', 'bigint', column => column.notNull())
        .addColumn('services', 'text', column => column.notNull())
        .addUniqueConstraint('counted_flags_by_name', ['log', 'flag'])
        .execute()
      // Time comes first in these keys: what is written at one time then lies together, on few pages.
      await db.schema
        .createTable('minute_counts')
        .addColumn('hour', 'bigint', column => column.notNull())
        .addColumn('flag', 'bigint', column => column.notNull())
        .addColumn('counts', 'bytea', column => column.notNull())
        .addPrimaryKeyConstraint('minute_counts_key', ['hour', 'flag'])
        .execute()
      await db.schema
        .createTable('hour_counts')
        .addColumn('day', 'bigint', column => column.notNull())
        .addColumn('flag', 'bigint', column => column.notNull())
        .addColumn('counts', 'bytea', column => column.notNull())
        .addPrimaryKeyConstraint('hour_counts_key', ['day', 'flag'])
        .execute()
      await db.schema
        .createTable('problems')
        .addColumn('log', 'text', column => column.notNull())
        .addColumn('code', 'text', column => column.notNull())
        .addColumn('subject', 'text', column => column.notNull())
        .addColumn('detail', 'text', column => column.notNull())
        .addColumn('service', 'text', column => column.notNull())
        .addColumn('count', 'bigint', column => column.notNull())
        .addColumn('firstSeen', 'bigint', column => column.notNull())
        .addColumn('lastSeen', 'bigint', column => column.notNull())
        .addColumn('instance', 'text', column => column.notNull())
        .addColumn('sdk', 'text', column => column.notNull())
        .addPrimaryKeyConstraint('problems_key', ['log', 'code', 'subject', 'detail', 'service'])
        .execute()
    },
  },
  '0003-secrets': {
    async up(db: Kysely<unknown>) {
      await db.schema
        .createTable('secrets')
        .addColumn('id', 'text', column => column.primaryKey())
        .addColumn('sealed', 'text', column => column.notNull())
        .addColumn('createdAt', 'bigint', column => column.notNull())
        .execute()
    },
  },
  '0004-alerts': {
    async up(db: Kysely<unknown>) {
      await db.schema
        .createTable('alerts')
        .addColumn('id', 'text', column => column.primaryKey())
        .addColumn('log', 'text', column => column.notNull())
        .addColumn('hook', 'text', column => column.notNull())
        .addColumn('dedupKey', 'text', column => column.notNull())
        .addColumn('status', 'text', column => column.notNull())
        .addColumn('startsAt', 'bigint', column => column.notNull())
        .addColumn('endsAt', 'bigint')
        .addColumn('externalId', 'text')
        .addColumn('standing', 'integer', column => column.notNull())
        .addColumn('told', 'integer', column => column.notNull())
        .addColumn('mayAct', 'integer', column => column.notNull())
        .addColumn('dryRun', 'integer', column => column.notNull())
        .addColumn('receivedAt', 'bigint', column => column.notNull())
        .addColumn('seenAt', 'bigint', column => column.notNull())
        .addColumn('body', 'text', column => column.notNull())
        // The same edge of the same alert is one row, however often it is delivered.
        .addUniqueConstraint('alerts_once', ['log', 'hook', 'dedupKey', 'status', 'startsAt'])
        .execute()
      await db.schema.createIndex('alerts_by_log').on('alerts').columns(['log', 'id']).execute()
      await db.schema.createIndex('alerts_by_delivery').on('alerts').columns(['log', 'hook', 'externalId']).execute()
      await db.schema.createIndex('alerts_by_seen').on('alerts').column('seenAt').execute()
      await db.schema.createIndex('alerts_untold').on('alerts').column('id').where(sql.ref('told'), '=', 0).execute()
      await db.schema.createIndex('alerts_standing').on('alerts').column('id').where(sql.ref('standing'), '=', 1).execute()
      await db.schema
        .createTable('deliveries')
        .addColumn('id', 'text', column => column.primaryKey())
        .addColumn('log', 'text', column => column.notNull())
        .addColumn('hook', 'text', column => column.notNull())
        .addColumn('taken', 'integer', column => column.notNull())
        .addColumn('at', 'bigint', column => column.notNull())
        .addColumn('verdict', 'text', column => column.notNull())
        .addColumn('reason', 'text', column => column.notNull())
        .addColumn('bytes', 'bigint', column => column.notNull())
        .addColumn('remote', 'text', column => column.notNull())
        .addColumn('headers', 'text', column => column.notNull())
        .addColumn('payload', 'text', column => column.notNull())
        .addColumn('alerts', 'text', column => column.notNull())
        .addColumn('skipped', 'bigint', column => column.notNull())
        .execute()
      await db.schema.createIndex('deliveries_by_hook').on('deliveries').columns(['log', 'hook', 'taken', 'id']).execute()
      await db.schema.createIndex('deliveries_by_moment').on('deliveries').column('at').execute()
    },
  },
  '0005-outbox': {
    async up(db: Kysely<unknown>) {
      await db.schema
        .createTable('outbox')
        .addColumn('id', 'text', column => column.primaryKey())
        .addColumn('seq', 'bigint', column => column.notNull())
        .addColumn('log', 'text', column => column.notNull())
        .addColumn('notifier', 'text', column => column.notNull())
        .addColumn('createdAt', 'bigint', column => column.notNull())
        .addColumn('body', 'text', column => column.notNull())
        .addColumn('state', 'text', column => column.notNull())
        .addColumn('tries', 'integer', column => column.notNull())
        .addColumn('nextAt', 'bigint', column => column.notNull())
        .addColumn('lastAt', 'bigint')
        .addColumn('lastStatus', 'integer')
        .addColumn('lastText', 'text')
        .execute()
      await db.schema.createIndex('outbox_by_notifier').on('outbox').columns(['log', 'notifier', 'state', 'seq']).execute()
      await db.schema.createIndex('outbox_by_seq').on('outbox').column('seq').execute()
      await db.schema
        .createTable('outbox_cursors')
        .addColumn('log', 'text', column => column.primaryKey())
        .addColumn('revision', 'bigint', column => column.notNull())
        .execute()
      await db.schema
        .createTable('outbox_left_out')
        .addColumn('log', 'text', column => column.notNull())
        .addColumn('notifier', 'text', column => column.notNull())
        .addColumn('count', 'bigint', column => column.notNull())
        .addColumn('told', 'bigint', column => column.notNull())
        .addPrimaryKeyConstraint('outbox_left_out_key', ['log', 'notifier'])
        .execute()
    },
  },
  '0006-evidence': {
    async up(db: Kysely<unknown>) {
      await db.schema
        .createTable('evidence')
        .addColumn('log', 'text', column => column.notNull())
        .addColumn('flag', 'text', column => column.notNull())
        .addColumn('run', 'text', column => column.notNull())
        .addColumn('body', 'text', column => column.notNull())
        .addPrimaryKeyConstraint('evidence_key', ['log', 'flag'])
        .execute()
    },
  },
}
