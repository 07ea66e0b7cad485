// What `npm run lint` holds: type-aware rules, and the import table as far as eslint can see it (test/imports.test.ts sees all).
import tseslint from 'typescript-eslint'

const never = (...patterns) => ['error', { patterns: patterns.map(([group, message]) => ({ group, message })) }]
const server = [['**/server/**'], 'only server, test and bench may import the server']
const cli = [['**/cli/**'], 'only test may import the command line']

export default tseslint.config(
  { ignores: ['.config/vite.config.ts', '**/dist/**', '**/node_modules/**', '.tap/**', 'docs/**'] },
  {
    files: ['**/*.ts', '**/*.tsx'],
    extends: [tseslint.configs.recommendedTypeChecked, tseslint.configs.stylisticTypeChecked],
    languageOptions: {
      parserOptions: {
        project: ['./tsconfig.json', './test/tsconfig.json', './server/dashboard/tsconfig.json'],
        tsconfigRootDir: new URL('..', import.meta.url).pathname,
      },
    },
    rules: {
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_', caughtErrorsIgnorePattern: '^_' }],
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true, allowNullish: true }],
      // A promise handed to an event emitter or a tap test is awaited by it.
      '@typescript-eslint/no-misused-promises': ['error', { checksVoidReturn: false }],
      // Interfaces ask for promises that a simple implementation fulfils at once.
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/no-empty-function': 'off',
      '@typescript-eslint/prefer-nullish-coalescing': 'off',
      '@typescript-eslint/consistent-type-definitions': 'off',
      // Where it is hot, or two things are asked at once, the long form says more.
      '@typescript-eslint/prefer-optional-chain': 'off',
      '@typescript-eslint/consistent-indexed-object-style': 'off',
      // null and undefined are one question.
      eqeqeq: ['error', 'always', { null: 'ignore' }],
      'no-console': 'error',
    },
  },
  { files: ['schemas/**/*.ts'], rules: { 'no-restricted-imports': never(server, cli, [['**/sdk/**'], 'schemas import nothing of ours']) } },
  {
    files: ['sdk/evaluator/**/*.ts'],
    rules: {
      'no-restricted-imports': never(server, cli, [['node:*', 'undici', 'zod', '../*.ts'], 'the evaluator is pure']),
      'no-restricted-globals': ['error', 'setTimeout', 'setInterval', 'fetch', 'process', 'performance', 'crypto'],
      // Indexed loops cost less in the hot path (measured by bench/evaluate.ts).
      '@typescript-eslint/prefer-for-of': 'off',
      'no-restricted-properties': ['error', { object: 'Date', property: 'now' }, { object: 'Math', property: 'random' }],
    },
  },
  { files: ['sdk/*.ts', 'sdk/web/*.ts'], rules: { 'no-restricted-imports': never(server, cli) } },
  {
    files: ['cli/**/*.ts'],
    rules: {
      'no-restricted-imports': never(server, [['**/sdk/**'], 'the command line knows only schemas and the public HTTP API']),
      'no-console': 'off',
    },
  },
  {
    files: ['server/**/*.ts'],
    rules: { 'no-restricted-imports': never(cli, [['**/sdk/*.ts'], 'of the SDK the server imports the evaluator alone']) },
  },
  {
    files: ['server/dashboard/**/*.ts', 'server/dashboard/**/*.tsx'],
    rules: {
      'no-restricted-imports': never(cli, [
        ['**/sdk/**', '../../../*.ts', 'node:*'],
        'the dashboard is a page: it knows the types of the schemas and the public HTTP API',
      ]),
    },
  },
  {
    files: ['test/**/*.ts', 'bench/**/*.ts'],
    rules: {
      '@typescript-eslint/no-floating-promises': 'off',
      // Those that tests take apart are plain objects.
      '@typescript-eslint/unbound-method': 'off',
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/no-unsafe-argument': 'off',
      '@typescript-eslint/no-unsafe-call': 'off',
      '@typescript-eslint/no-unsafe-return': 'off',
      'no-console': 'off',
    },
  },
)
