// Rules of the front end. Types are checked by tsc; prettier sets the text.
import js from '@eslint/js';
import ts from 'typescript-eslint';

export default ts.config(
  { ignores: ['lib/', 'node_modules/'] },
  js.configs.recommended,
  ts.configs.strict,
  {
    files: ['src/**', 'tests/**'],
    rules: {
      'no-undef': 'off', // tsc knows better
      'prefer-const': 'error',
      eqeqeq: 'error',
      curly: 'error',
      'no-console': ['error', { allow: ['info', 'warn', 'error'] }],
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_' }],
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/consistent-type-imports': 'error',
    },
  },
  {
    // panes and feeds are shared by three hosts: they know none of them, and no framework
    files: ['src/panes/**', 'src/feed/**', 'src/protocol/**'],
    rules: {
      'no-restricted-imports': [
        'error',
        { patterns: ['@jupyterlab/*', '@lumino/*', 'react', 'react-dom', '**/lab/*', '**/standalone/*', '**/output/*'] },
      ],
    },
  },
  {
    files: ['*.mjs', 'tests/harness/*.mjs'],
    languageOptions: { globals: { process: 'readonly', console: 'readonly', URL: 'readonly', Buffer: 'readonly' } },
    rules: { 'no-console': 'off' },
  },
);
