-- is sent with the statement behind it
SELECT /* one
   of two lines */ 5;

SELECT 1;
SELECT 3;
DO 1;
SELECT 4;
\prepare SELECT ?, ?, ?
\execute 42, 'a, b', NULL
\close
\prepare SELECT 1
\execute
SHOW WARNINGS;
FROBNICATE;
\ping
\use shop
SELECT DATABASE();
\user joe
SELECT USER();
SET autocommit = 0;
INSERT INTO t VALUES (1);
\reset
SELECT @@autocommit;
\connect
SELECT DATABASE()
