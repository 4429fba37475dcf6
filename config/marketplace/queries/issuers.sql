-- The issuers of a state, and the number of plans that each sells.
select i.issuer_id, i.issuer_name, i.state, i.phone_local, i.phone_toll_free, i.phone_tty, count(*) as plans
from issuers i
join plans p on p.issuer_id = i.issuer_id and p.state = i.state and p.plan_year = :year::int
where i.state = :state::text
group by i.issuer_id
order by i.issuer_name collate "C", i.issuer_id
