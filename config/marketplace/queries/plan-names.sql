-- Plans by a part of their name, ignoring case. The text is compared literally, not as a pattern.
select p.plan_id, p.plan_name, i.issuer_name, p.state
from plans p
join issuers i on i.issuer_id = p.issuer_id
where p.plan_year = :year::int and strpos(lower(p.plan_name), :q::text) > 0
order by p.plan_name collate "C", p.plan_id
limit 20
