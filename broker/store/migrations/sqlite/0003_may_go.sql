-- Somebody asked for the object to be taken away and was not answered, or did not live to hear it: until then it may
-- go at any moment, whoever has put it there since.
ALTER TABLE shared ADD COLUMN may_go_until INTEGER;
