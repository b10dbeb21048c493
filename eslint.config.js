import tseslint from 'typescript-eslint';
import { builtinModules } from 'node:module';

const workflowBans = builtinModules
  .filter((name) => !name.startsWith('_') && name !== 'assert')
  .flatMap((name) => [name, `node:${name}`]);

export default tseslint.config(
  { ignores: ['lib/**', 'node_modules/**', 'test/schema/**'] },
  ...tseslint.configs.recommendedTypeChecked,
  {
    languageOptions: {
      parserOptions: { projectService: { allowDefaultProject: ['eslint.config.js', 'scripts/*.mjs'] } },
    },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/no-deprecated': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true },
      ],
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'inline-type-imports' }],
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      '@typescript-eslint/require-await': 'off',
      'no-restricted-properties': [
        'error',
        { object: 'AbortSignal', property: 'timeout', message: 'See src/async/time-limit.ts.' },
      ],
    },
  },
  {
    // Workflow code is deterministic: no Node built-ins, no clock or randomness but Temporal's own.
    files: ['src/workflows/**/*.ts'],
    rules: { 'no-restricted-imports': ['error', ...workflowBans] },
  },
  { files: ['**/*.js', '**/*.mjs', '**/*.cts'], ...tseslint.configs.disableTypeChecked },
  { files: ['**/*.cts'], rules: { '@typescript-eslint/no-require-imports': 'off' } },
);
