/**
 * How the tables came to be, step by step. A step that has been released is never altered: a change to the tables is a
 * new step at the end. Written with Kysely's schema builder, so that every database takes the same steps.
 */
import type { Kysely, Migration } from 'kysely'

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
}
