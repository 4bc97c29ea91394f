raise;
empty queue;
silence;
dropped;
nonsense;
close;
SELECT 1;
